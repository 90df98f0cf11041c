"""What the time metric runs inside its clock, and what it makes of it."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from quick import QuickRun
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.explained import explain
from camsbench.core.passes import count_passes
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Forward, Split
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.scorecam import ScoreCAM
from camsbench.metrics.time import Time
from camsbench.models.split import TorchSplit
from camsbench.store.folder import RunFolder


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that only sleep moves, and a sleep that takes no time."""
    now = [0.0]
    monkeypatch.setattr(clock, "perf_counter", lambda: now[0])
    monkeypatch.setattr(clock, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))


@dataclass
class Sleeper:
    """A method that takes a known time: the next of ``naps`` seconds, of which short cuts save half."""

    naps: list[float]
    seen: list[tuple[int, int, bool]] = field(default_factory=list)
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        self.seen.append((len(forward.x), forward.seeds[0], split.options.short_cuts))
        nap = self.naps[(len(self.seen) - 1) // 2 % len(self.naps)]
        clock.sleep(nap / 2 if split.options.short_cuts else nap)
        return forward.A[:, 0]


@pytest.mark.usefixtures("still")
def test_each_image_alone_with_and_without_short_cuts_and_the_median(tiny: TorchSplit, tiny_x: Tensor) -> None:
    quiet = Sleeper([0.0])
    forward = scoring.forward(tiny, tiny_x.expand(2, -1, -1, -1), torch.tensor([0, 1]), (5, 6))
    explained = explain(tiny, quiet, SaliencyRule(), forward)
    sleeper = Sleeper([0.5, 0.04, 0.3, 0.02])  # the warm-up takes longest, and does not count
    values = Time(repeats=3)(replace(explained, explainer=sleeper))
    both = [(1, 5, True), (1, 5, False)]
    assert sleeper.seen == both * 4 + [(1, 6, True), (1, 6, False)] * 3
    # image 0: 40, 300 and 20 ms; image 1, where the list begins again: 500, 40 and 300 ms
    assert values["time_plain"].tolist() == pytest.approx([0.04, 0.3])
    assert values["time"].tolist() == pytest.approx([0.02, 0.15])
    assert values["time_plain_runs"].argsort(1).tolist() == [[2, 0, 1], [1, 2, 0]]
    assert values["time_runs"].shape == (2, 3)
    assert torch.equal(values["time"], values["time_runs"].median(1).values)


def test_the_clock_holds_the_pass_of_the_network_and_shares_nothing(tiny: TorchSplit, tiny_x: Tensor) -> None:
    forward = scoring.forward(tiny, tiny_x.expand(2, -1, -1, -1), torch.tensor([0, 1]), (0, 1))
    explained = explain(tiny, GradCAM(), SaliencyRule(), forward)
    with count_passes(tiny) as passes:
        Time(repeats=2, warmup=0)(explained)
    explanations = 2 * 2 * 2  # images, repeats, with and without short cuts
    gradients = explanations // 2  # with short cuts a linear head needs none
    assert (passes.features, passes.head, passes.backward) == (explanations, explanations + gradients, gradients)


def test_plain_time_pays_for_constant_channels(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 1  # one of the two channels is constant
    explained = explain(tiny, ScoreCAM(), SaliencyRule(), scoring.forward(tiny, tiny_x, torch.tensor([0]), (0,)))
    with count_passes(tiny) as passes:
        Time(repeats=1, warmup=0)(explained)
    assert passes.features == (1 + 1) + (1 + 2)


def test_a_run_times_each_image_and_keeps_every_repeat(quick_run: QuickRun, tmp_path: Path) -> None:
    quick_run(tmp_path, "method=[gradcam,reciprocam]", "metric=time", "metric.time.repeats=2", "data.limit=3")
    folder = RunFolder(tmp_path)
    rows, curves = folder.rows(), folder.curves()
    assert len(rows) == 6
    keys = ["method", "image_id"]
    for column in ("time", "time_plain"):
        both = rows.merge(curves[curves["curve"] == f"{column}_runs"], on=keys)
        assert len(both) == 6
        for median, repeats in zip(both[column], both["y"], strict=True):
            assert 0 < min(repeats) <= median <= max(repeats) < 60
            assert median == pytest.approx(sum(repeats) / 2)  # of two


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"repeats": 0}, "repeats is 0: give a whole number from 1"),
        ({"warmup": -1}, "warmup is -1"),
        ({"repeats": 1.5}, "repeats is 1.5"),
    ],
)
def test_wrong_settings(options: Mapping[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Time(**options)
