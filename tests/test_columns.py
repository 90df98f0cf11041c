"""How a column is reduced, said by its metric: in the summary, the spread and the report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from handmade import rows
from omegaconf import open_dict
from torch import Tensor

from camsbench import CamsbenchError, tables
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core.columns import Column, OfMeans, columns_of
from camsbench.core.explained import Explained
from camsbench.data import draws
from camsbench.data.embedded import samples
from camsbench.metrics.pointing import PointingWithin
from camsbench.report.page.columns import of_images, of_lines
from camsbench.report.page.lines import report_lines
from camsbench.report.page.standings import standings
from camsbench.report.saved_run import SavedRun
from camsbench.session import execute
from camsbench.tables.pairs import pairs
from camsbench.tables.spread import spread

OF_100 = Column("area", "lower", reduce="median", percent=True, title="Area")


@dataclass(frozen=True)
class Area:
    """A user's metric: the share of the image above ``level``, whose median a table gives."""

    level: float = 0.5
    columns: ClassVar[tuple[Column, ...]] = (OF_100,)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"area": (explained.saliency >= self.level).float().mean((1, 2, 3))}


@dataclass(frozen=True)
class Plain:
    """A metric as 0.1.0 had them: a mapping of names to directions."""

    columns: ClassVar[Mapping[str, str]] = {"plain": "lower", "other": "higher"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {name: torch.zeros(len(explained.raw)) for name in self.columns}


@dataclass(frozen=True)
class Declares:
    """A metric that declares what it is given."""

    columns: Any


def test_a_mapping_declares_means() -> None:
    assert columns_of(Plain()) == (Column("plain", "lower"), Column("other", "higher"))


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        (
            (Column("area", "lower", reduce="mode"),),
            "metric mine: reduce of its column area is 'mode': it must be one of mean, median, class_mean, an OfMeans",
        ),
        ((Column("area", "lower", reduce=("mean", "max")),), "reduce of its column area is 'max'"),
        ((Column("area", "less"),), "better of its column area is 'less': it must be one of higher, lower"),
        ({"area": "up"}, "metric mine: better of its column area is 'up'"),
        (("area",), "columns must be a tuple of camsbench.core.columns.Column, or a mapping"),
        (None, "columns must be a tuple"),
    ],
)
def test_a_wrong_declaration_is_refused(columns: Any, sentence: str) -> None:
    with pytest.raises(CamsbenchError, match=re.escape(sentence)):
        columns_of(Declares(columns), "mine")


def test_a_wrong_declaration_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "test_columns")
    cfg = compose_config(["metric=[drop]"])
    with open_dict(cfg):
        cfg.metric.mine = {"_target_": "test_columns.Declares", "columns": {"area": "up"}}
    with pytest.raises(CamsbenchError, match="metric mine: better of its column area is 'up'"):
        make_metrics(cfg)


def test_another_tolerance_keeps_its_class_mean() -> None:
    given = rows("gradcam", n=4, pointing_20px=[1.0, 0.0, 1.0, 1.0]).assign(label=[0, 1, 0, 0])
    summary = tables.summarise(given, columns_of(PointingWithin(20)))
    assert summary.loc[0, "pointing_20px"] == pytest.approx(3 / 4)
    assert summary.loc[0, "pointing_20px_class"] == pytest.approx(1 / 2)  # class 0: 1, class 1: 0
    assert "Point20 ↑ | Point20/class ↑" in tables.markdown(summary, columns_of(PointingWithin(20)))
    assert " 75.00 |           50.00 |" in tables.markdown(summary, columns_of(PointingWithin(20)))


def test_without_metrics_camsbenchs_own_are_known_and_others_are_averaged() -> None:
    given = rows("gradcam", n=3, time=[1.0, 2.0, 9.0], pointing=[1.0, 1.0, 0.0], mine=[1.0, 2.0, 9.0])
    parts = rows("gradcam", n=3, drop=[0.2, 0.4, 0.9], coherency=0.5, complexity=0.5)
    (line,) = tables.summarise(given).to_dict("records")
    assert (line["time"], line["mine"]) == (2, 4)
    assert list(line)[4:] == ["pointing", "pointing_class", "time", "mine", "seconds"]
    assert tables.summarise(parts).loc[0, "adcc"] == pytest.approx(3 / (2 + 2 + 1 / 0.5))


def test_several_reductions_of_a_column() -> None:
    declared = Column("area", "lower", reduce=("median", "mean", "class_mean"), title="Area")
    given = rows("gradcam", n=3, area=[0.1, 0.2, 0.9]).assign(label=[0, 0, 1])
    summary = tables.summarise(given, [declared])
    numbers = [summary[name][0] for name in ("area", "area_mean", "area_class")]
    assert numbers == pytest.approx([0.2, 0.4, (0.15 + 0.9) / 2])
    assert "Area ↓ | Area/image ↓ | Area/class ↓" in tables.markdown(summary, [declared])


def test_a_function_of_means_needs_no_values_of_its_own() -> None:
    product = Column("product", "higher", reduce=OfMeans(("drop", "area"), lambda a, b: a * b, "product of the means"))
    given = rows("gradcam", n=2, drop=[0.2, 0.4], area=[0.5, 0.7])
    assert tables.summarise(given, [product]).loc[0, "product"] == pytest.approx(0.3 * 0.6)
    assert "product" not in tables.summarise(given.drop(columns="area"), [product])
    both = pd.concat([given, rows("other", n=2, drop=[0.1, 0.1], area=[0.5, 0.7])])
    found = pairs(both, declared=[product]).set_index("column")
    assert found.loc["product", "mean_a"] == pytest.approx(0.3 * 0.6)
    assert found.loc["product", "difference"] == pytest.approx(0.2 * 0.6)


def test_a_paper_s_column_is_reduced_as_its_metric_says() -> None:
    spec = {"published": "abscam_table3", "methods": {"Grad-CAM": "gradcam"}, "columns": {"pointing_accuracy": "area"}}
    given = rows("gradcam", n=3, area=[0.1, 0.2, 0.9])
    for declared, expected in (((), 0.4), ((OF_100,), 0.2)):
        long = tables.compare(spec, given, columns=declared).long
        line = long[(long["measured_method"] == "gradcam") & (long["column"] == "pointing_accuracy")]
        assert line["measured"].iloc[0] == pytest.approx(expected)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two draws with a user's metric and another tolerance, on images of 96 pixels."""
    folder = tmp_path_factory.mktemp("columns")
    names = dict.fromkeys([*draws.union(0, 3), *draws.union(1, 3)])
    for name, record in zip(names, samples(), strict=False):
        place = folder / "val" / str(record.label)
        place.mkdir(parents=True, exist_ok=True)
        assert isinstance(record.source, Path)
        shutil.copy(record.source, place / f"{name}.JPEG")
    choices = ["data=ilsvrc2012", f"data.root='{folder / 'val'}'", "data.check=0", "data.draw=[0,1]", "data.limit=3"]
    small = ["model.transform.resize=110", "model.transform.crop=96", "runtime.device=cpu", "runtime.bare=0"]
    cfg = compose_config(["method=[gradcam,reciprocam]", "metric=[drop]", *choices, *small, f"output='{folder}/run'"])
    with open_dict(cfg):
        cfg.metric.area = {"_target_": "test_columns.Area", "level": 0.4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAMSBENCH_PLUGINS", "test_columns")
        execute(cfg)
    return folder / "run"


def test_a_user_s_median_in_summary_and_spread(run: Path) -> None:
    found = pd.read_parquet(run / "rows")
    summary = pd.read_csv(run / "summary.csv").set_index("method")
    expected = found.groupby("method")["area"].median()
    assert summary["area"].to_dict() == pytest.approx(expected.to_dict())
    assert not np.allclose(expected, found.groupby("method")["area"].mean())
    text = (run / "summary.md").read_text()
    assert "| Area ↓ |" in text
    assert f"{100 * expected['gradcam']:.2f}" in text
    assert "Means over images, the papers' metrics in percent. Area: median over images.\n" in text
    moved = pd.read_csv(run / "spread.csv").set_index(["method", "column"])
    each = [
        found[(found["method"] == "gradcam") & found["image_id"].isin(draws.union(draw, 3))]["area"].median()
        for draw in (0, 1)
    ]
    assert moved.loc[("gradcam", "area"), "max"] == pytest.approx(max(each))
    again = spread(found, [0, 1], 3, [OF_100]).set_index(["method", "column"])
    assert again.loc[("gradcam", "area"), "sd"] == pytest.approx(np.std(each, ddof=1))


def test_a_user_s_median_in_the_report(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "test_columns")
    source = SavedRun.load(run)
    columns = of_lines(of_images([source]))
    board = standings([source], report_lines([source]), columns)
    place = [column.name for column in columns].index("area")
    summary = pd.read_csv(run / "summary.csv").set_index("method")
    for standing in board:
        cell = standing.cells[place]
        assert cell is not None
        assert cell.value == pytest.approx(summary.loc[standing.line.method, "area"])
    page = (run / "report.html").read_text()
    assert "Area ↓" in page
    content = json.loads(re.search(r'id="content">(.*?)</script>', page, re.S)[1])  # type: ignore[index]
    (area,) = [column for column in content["columns"] if column["name"] == "area"]
    assert area == {"name": "area", "title": "Area", "better": "lower", "percent": True, "seconds": False}


def test_a_table_of_names_and_directions() -> None:
    """As 0.1.0 took them: camsbench's own columns keep their titles and percent."""
    given = rows("gradcam", n=2, drop=[0.25, 0.75], area=[1.0, 2.0])
    said = tables.markdown(tables.summarise(given), {"drop": "lower", "area": "higher"})
    assert "Drop ↓ | area ↑" in said
    assert "50.00 |    1.5 |" in said
