"""What a run says that it cost, against passes counted by hand."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from quick import QuickRun
from torch import Tensor, nn

from camsbench.core.passes import MicroBatch, Passes
from camsbench.models.speed import Speed
from camsbench.models.split import TorchSplit
from camsbench.run.account import Account, Accountant


@pytest.mark.parametrize("backend", ["torch", "onnxruntime"])
def test_a_run_counts_its_passes_and_how_far_it_was_from_the_bare_network(
    quick_run: QuickRun, tmp_path: Path, backend: str
) -> None:
    methods = ["reciprocam", "gradcam"] if backend == "torch" else ["reciprocam"]
    overrides = [f"method=[{','.join(methods)}]", "data.limit=2", "runtime.bare=3", f"runtime.backend={backend}"]
    outcome = quick_run(tmp_path / "run", *overrides)
    (session,) = json.loads((tmp_path / "run" / "environment.json").read_text())["sessions"]
    account = session["account"]
    assert account["images"] == 2
    # an image: the base pass and two bare substrates; a method: the masked image, and two curves of 3 inner points
    assert account["features"] == 2 * (3 + len(methods) * (1 + 2 * 3))
    # this head has closed forms for both methods, on every backend
    assert account["backward"] == 0
    assert account["head"] - account["features"] == 0
    assert account["bare_repeats"] == 3
    assert 100 < account["peak_memory_mib"] < 20_000
    assert 0 < account["efficiency"] <= 1.2
    assert "Passes: " in outcome.report


def test_a_run_with_nothing_left_to_do_has_no_efficiency(quick_run: QuickRun, tmp_path: Path) -> None:
    quick_run(tmp_path / "run", "metric=[drop]", "data.limit=1")
    outcome = quick_run(tmp_path / "run", "metric=[drop]", "data.limit=1")
    assert "Passes: " not in outcome.report
    sessions = json.loads((tmp_path / "run" / "environment.json").read_text())["sessions"]
    assert [session["account"]["images"] for session in sessions] == [1, 0]


def test_bare_passes_are_timed_between_the_work_and_counted_nowhere(
    tiny: TorchSplit, tiny_x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that only the network moves: two seconds an image, in the second half of the run one."""
    now, an_image = 0.0, 2.0

    def passing(part: nn.Module, given: tuple[Tensor, ...]) -> None:
        nonlocal now
        now += an_image * len(given[0])

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    tiny.features_graph.register_forward_pre_hook(passing)
    split = replace(tiny, micro_batch=MicroBatch(4))
    timed, start = [], now
    accountant = Accountant(split, repeats=8)
    for batch in range(1, 101):
        an_image = 2.0 if batch <= 50 else 1.0
        with torch.no_grad():
            split.logits(tiny_x.expand(10, -1, -1, -1))
        before = now
        accountant.between()
        timed += [batch] if now > before else []
    closing = accountant.close()
    account = Account.of(1000, now - start, [accountant.taken()], [closing])
    assert (account.passes.features, account.passes.head) == (1000, 1000)
    assert account.seconds == 50 * 10 * 2 + 50 * 10 * 1
    assert account.repeats == len(timed) == 8  # each of 8 s, then 4 s: a twentieth of the time since the first
    assert timed[0] == 1
    assert timed[6] <= 50 < timed[7]
    assert account.bare == Speed(features=2, head=0)  # the median of seven times 2, and 1
    assert account.efficiency == 1000 * 2 / 1500


def test_boxes_that_the_crop_leaves_nothing_of_are_counted() -> None:
    account = Account(images=4, boxes=7, dropped=2)
    assert account.sentence().endswith(". 2 of 7 boxes lie outside the crop and were dropped.")
    assert (account.record()["boxes"], account.record()["boxes_dropped"]) == (7, 2)


def test_efficiency_is_the_bare_time_of_the_passes_over_the_time_they_took() -> None:
    passes = Passes(features=100, head=300, backward=10, through=0, tail=0)
    bare = Speed(features=0.01, head=0.001, back_head=0.002)
    # 100 · 0.01 + 300 · 0.001 + 10 · 0.002 = 1.32 of 1.65 seconds
    account = Account(images=4, seconds=1.65, passes=passes, bare=bare, repeats=15)
    assert account.efficiency == pytest.approx(0.8)
    assert account.sentence() == (
        "Passes: 100 forward, 200 head, 10 backward for 4 images (25.0 forward each), 60.6 forward a second; the bare "
        "network makes 90.9 (median of 15, in this run): efficiency 80.0 %."
    )
