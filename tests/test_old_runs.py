"""A run folder that camsbench 0.1.0 wrote: continued, refused and reported as it would have been then."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.report.__main__ import main as write_report
from camsbench.report.summary import Outcome
from camsbench.session import execute

WRITTEN = Path(__file__).parent / "data" / "run_0.1.0"
COMMAND = [  # as it was given to 0.1.0, for its two images
    *("data=ilsvrc2012", "data.root=images", "data.check=0", "model.transform.resize=110", "model.transform.crop=96"),
    *("method=[gradcam,generative_perturbation]", "method.generative_perturbation.patch=48"),
    *("method.generative_perturbation.stride=48", "metric=[drop,insertion,adcc]", "metric.insertion.steps=4"),
    *("runtime.device=cpu", "runtime.bare=0", "gallery=1", "output=run", "report.html=false"),
]


@pytest.fixture
def old(tmp_path: Path, sample_paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, beside the images that it was made of and one more."""
    shutil.copytree(WRITTEN, tmp_path / "run")
    for path in sorted(sample_paths)[:3]:
        folder = tmp_path / "images" / path.stem.split("_")[2]
        folder.mkdir(parents=True)
        shutil.copy(path, folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


def rows_of(folder: Path) -> pd.DataFrame:
    parts = [pd.read_parquet(path) for path in sorted(folder.glob("rows/*.parquet"))]
    return pd.concat(parts, ignore_index=True)


def goes_on(*more: str) -> Outcome:
    return execute(compose_config([*COMMAND, *more]))


def test_it_goes_on_and_its_rows_are_those_that_are_made_today(old: Path) -> None:
    before = rows_of(old)
    outcome = goes_on("data.limit=3")
    after = rows_of(old)
    pd.testing.assert_frame_equal(after[: len(before)], before)
    assert list(after["image_id"][len(before) :]) == ["imagenet_01_559"] * 2  # the third, by its folder
    assert len(outcome.rows) == 6
    fresh = execute(compose_config([*COMMAND, "data.limit=3", "output=fresh"])).rows
    pd.testing.assert_frame_equal(
        outcome.rows.drop(columns="seconds"), fresh.drop(columns="seconds"), rtol=0, atol=1e-5
    )  # batches of another size round otherwise


def test_other_settings_are_refused(old: Path) -> None:
    with pytest.raises(CamsbenchError, match=r"run with other settings \(seed was 0 and is 1\)"):
        goes_on("data.limit=2", "seed=1")
    with pytest.raises(CamsbenchError, match=r"radius was 3 and is 5\)"):
        goes_on("data.limit=2", "method.generative_perturbation.inpainter.radius=5")


def test_names_of_that_version_may_still_be_typed(old: Path) -> None:
    outcome = goes_on(
        "data.limit=2",
        "data._target_=camsbench.sources.ilsvrc2012",
        "method.generative_perturbation.inpainter._target_=camsbench.inpaint.TeleaInpainter",
    )
    assert len(outcome.rows) == 4
    assert len(list(old.glob("rows/*.parquet"))) == 1  # nothing was left to do


@pytest.mark.slow
def test_plug_ins_of_that_version_import_what_its_documentation_named() -> None:
    said = "from camsbench.scoring import score_inputs, head_gradient; from camsbench.preprocess import Preprocess; "
    said += "from camsbench.data import Record, samples; import camsbench.noise, camsbench.core.noise as now; "
    said += "assert camsbench.noise is now and now.__spec__.name == now.__name__ == 'camsbench.core.noise'; "
    said += "from camsbench.types import About, Forward, Split; from camsbench.explained import Explained, Metric; "
    said += "from importlib import import_module; from camsbench.former_names import FORMER; "
    said += "assert all(import_module(a) is import_module(b) for a, b in FORMER.items())"
    subprocess.run([sys.executable, "-W", "error", "-c", said], check=True)


def test_it_is_reported_with_maps_that_it_did_not_keep(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert write_report(["run", "report.maps=2"]) == 0
    assert "report: run/report.html" in capsys.readouterr().out
    page = (old / "report.html").read_text()
    assert page.count('"src"') == 2 * (1 + 2)  # two images, each with a map of two methods
    assert len(list(old.glob("maps/*/*/*.png"))) == 4
