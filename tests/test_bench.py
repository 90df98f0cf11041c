"""The bench: its harness, how it reads its own tables, and one section of it for real; nothing here is timed."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from camsbench.core import scoring
from camsbench.models.split import TorchSplit

SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("benching.timing")


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("benching.reach")


def test_contenders_take_turns_and_are_paired(timing: Any) -> None:
    order: list[str] = []
    clock = {"a": iter([9.0, 1.0, 2.0, 4.0]), "b": iter([9.0, 3.0, 2.0, 2.0])}

    def contender(name: str) -> Any:
        def seconds() -> float:
            order.append(name)
            return next(clock[name])

        return timing.Contender(name, lambda: None, seconds=seconds)

    first, second = timing.measure("s", "g", 2, [contender("a"), contender("b")], 3, budget=60)
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]  # the first pair warms up
    assert first.ratios == [1, 1, 1]
    assert second.ratios == [3, 1, 0.5]
    assert second.seconds == 2 / 2  # the median, an image


def test_no_repeat_begins_beyond_the_budget(timing: Any) -> None:
    (row,) = timing.measure("s", "g", 1, [timing.Contender("a", lambda: None)], 5, budget=0)
    assert len(row.runs) == 1


def test_passes_and_differences(timing: Any, tiny: TorchSplit, tiny_x: torch.Tensor) -> None:
    x = tiny_x.expand(2, -1, -1, -1)

    def forward() -> torch.Tensor:
        return scoring.forward(tiny, x, None, (0, 0)).A[:, 0]

    contenders = [
        timing.Contender("one", forward, tiny),
        timing.Contender("scaled", lambda: 3 * forward() + 1, tiny, "one"),
        timing.Contender("other", lambda: forward().flip(2), tiny.model, forward),
    ]
    one, scaled, other = timing.measure("s", "g", 2, contenders, 1, budget=60)
    assert (one.passes, one.difference) == ("1 F", None)
    assert scaled.difference == pytest.approx(0, abs=1e-6)
    assert other.difference == pytest.approx(1 / 3)  # c0 = [[1,2],[3,4]] against its mirror
    assert other.passes == ""  # the uncut model was not passed


def table(folder: Path, section: str, group: str, runs: dict[str, str]) -> None:
    rows = [{"section": section, "group": group, "contender": name, "runs": text} for name, text in runs.items()]
    pd.DataFrame(rows).to_csv(folder / f"{section}.csv", index=False)


def test_targets_read_the_tables(reach: Any, tmp_path: Path) -> None:
    ours = {"camsbench, torch": "1 2 1", "camsbench, openvino": "1 1 1"}
    comes = {"torchcam, as it comes": "3 6 3", "grad-cam, as it comes": "8 8 8"}
    table(tmp_path, "scorecam-torchcam", "Score-CAM", {**ours, "torchcam": "4 8 5", **comes})
    table(tmp_path, "scorecam-grad-cam", "Score-CAM", {**ours, "grad-cam": "5 9 5", **comes})
    lines = reach.markdown(tmp_path).splitlines()
    assert "as it comes | at least 3 | 3.00 | met | torchcam, as it comes" in lines[2]  # 3, 3, 3
    assert "as it comes | at least 6 | 3.00 | not met, by 50 % | torchcam, as it comes" in lines[3]
    assert "| at least 3 | 4.00 | met | torchcam," in lines[4]  # the faster one: 4, 4, 5, not what came in 3
    assert "| at least 6 | 5.00 | not met, by 17 % |" in lines[5]  # grad-cam there: 5, 9, 5, torchcam 4, 8, 5
    assert all("not measured" in line for line in lines[6:])
    table(tmp_path, "vgg", "vgg16, features.29", {"camsbench, torch": "0.4", "a pass a cell, micro-batches": "2"})
    assert "196 cells | at least 4.5 | 5.00 | met |" in reach.markdown(tmp_path)


def test_a_target_reads_its_own_group(reach: Any, tmp_path: Path) -> None:
    rows = [
        {"group": group, "contender": name, "runs": runs}
        for group, quick in (("gradcampp", "2 2"), ("gradcam", "1.2 1"))
        for name, runs in (("bare forward, torch", "1 1"), ("camsbench, torch", quick))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "gradients.csv", index=False)
    said = reach.markdown(tmp_path)
    assert "| gradcam, batch 16, over a bare forward | at most 1.1 | 1.10 | met |" in said
    assert "| gradcampp, batch 16, over a bare forward | at most 1.1 | 2.00 | not met, by 82 % |" in said


@pytest.mark.slow
def test_a_section_from_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/bench.py", "--smoke", "--repeats", "1", "--only", "metrics"]
    done = subprocess.run([*command, "--output", str(tmp_path)], cwd=SCRIPTS.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(tmp_path / "metrics.csv")
    assert set(rows["contender"]) >= {"camsbench, torch", "camsbench, openvino", "torchcam", "grad-cam", "quantus"}
    assert rows["difference"].max() < 1e-4  # everybody measured the same
    assert (rows["seconds"] > 0).all()
    assert "| drop + increase | torchcam |" in (tmp_path / "metrics.md").read_text()
    assert "not measured" in (tmp_path / "reach.md").read_text()


def test_wrong_options_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setenv("TQDM_DISABLE", "1")  # as the script sets it: taken back after the test
    bench = importlib.import_module("bench")
    assert bench.main(["--only", "scorecams", "--output", str(tmp_path)]) == 1
    assert "--only scorecams: choose among gradients" in capsys.readouterr().err
    assert bench.main(["--openvino-xai-python", str(tmp_path / "python"), "--output", str(tmp_path)]) == 1
    assert "there is no such file; make bench-openvino-xai makes it" in capsys.readouterr().err
