"""The counted passes of methods whose cost is known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.passes import Passes, count_passes
from camsbench.core.saliency import normalise
from camsbench.core.types import Explainer, Forward
from camsbench.methods.ablationcam import AblationCAM
from camsbench.methods.abscam import AbsCAM
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.groupcam import GroupCAM
from camsbench.methods.iscam import ISCAM
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.methods.scorecam import ScoreCAM
from camsbench.methods.smoothgradcampp import SmoothGradCAMpp
from camsbench.methods.sscam import SSCAM
from camsbench.models.split import TorchSplit, cut


@pytest.mark.parametrize(
    ("method", "forward", "head", "backward"),
    [(GradCAM(), 0, 2, 2), (SmoothGradCAMpp(n=3), 6, 0, 6), (ReciproCAM(), 0, 8, 0), (ScoreCAM(), 4, 0, 0)],
)
def test_passes_of_two_images(
    method: Explainer, forward: int, head: int, backward: int, tiny: TorchSplit, tiny_x: Tensor
) -> None:
    base = scoring.forward(tiny, tiny_x.expand(2, -1, -1, -1), torch.tensor([0, 1]), (0, 1))
    with count_passes(tiny) as passes:
        method(tiny.plain, base)
    assert (passes.forward, passes.head_only, passes.backward) == (forward, head, backward)
    with count_passes(tiny) as quick:  # an average and a linear layer: the head needs neither gradients nor cells
        method(tiny, base)
    assert (quick.forward, quick.head_only, quick.backward) == (forward, 0, 0)


def test_constant_channels_cost_no_pass(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 1
    base = scoring.forward(tiny, tiny_x, torch.tensor([0]), (0,))
    with count_passes(tiny) as passes:
        ScoreCAM()(tiny, base)
    assert passes.forward == 1


@pytest.fixture(scope="module")
def small(lite0: TorchSplit, full_images: Tensor) -> tuple[TorchSplit, Forward]:
    """EfficientNet-Lite0 cut at 240 channels of 4x4, some of them constant, and the pass of one real image."""
    split = cut(lite0.model, "blocks.3.0.bn2", replace(lite0.preprocess, resize=64, crop=64), name="lite0")
    x = torch.nn.functional.interpolate(full_images[2:3], (64, 64), mode="area")
    return split, scoring.forward(split, x, None, (7,))


@pytest.mark.parametrize(
    ("method", "masks", "copies", "once"),
    [
        (ScoreCAM(), 240, 1, 0),
        (ScoreCAM(weight="softmax_over_channels"), 240, 1, 1),  # the black image
        (SSCAM(n=2), 240, 2, 0),
        (ISCAM(n=2), 240, 2, 0),
        (AbsCAM(), 240, 1, 0),
        (GroupCAM(groups=120), 120, 1, 1),  # the blurred image
        (AblationCAM(), 240, 1, 0),
    ],
)
def test_plain_costs_every_channel_and_gives_the_same_map(
    method: Explainer, masks: int, copies: int, once: int, small: tuple[TorchSplit, Forward]
) -> None:
    split, base = small
    maps = method.maps(split, base) if isinstance(method, GroupCAM) else base.A
    spared = sum(len(set(values)) == 1 for values in maps[0].flatten(1).tolist())
    assert spared >= 2
    if not isinstance(method, (AblationCAM, SSCAM)):  # channels that mask alike are scored once
        kinds = {tuple(unit) for unit in normalise(maps)[0][0].flatten(1).tolist() if any(unit)}
        spared = masks - len(kinds)
    with count_passes(split) as quick:
        raw = method(split, base)
    with count_passes(split) as every:
        raw_plain = method(split.plain, base)
    assert quick.head - quick.backward == copies * (masks - spared) + once  # a gradient passes the head once itself
    assert every.head - every.backward == copies * masks + once
    assert every.features == (0 if isinstance(method, AblationCAM) else every.head - every.backward)
    torch.testing.assert_close(raw_plain, raw, rtol=1e-4, atol=1e-6 * float(raw.abs().max()))


def test_every_split_of_a_network_counts_in_one_place(tiny: TorchSplit, tiny_x: Tensor) -> None:
    with count_passes(tiny) as passes:
        for split in (tiny, tiny.plain, tiny.for_copies, replace(tiny, layer="another")):
            split.logits(tiny_x.clone().requires_grad_()).sum().backward()
    assert passes == Passes(features=4, head=4, backward=4, through=4)
    tiny.logits(tiny_x)
    assert passes.forward == 4
    with count_passes(tiny) as passes:
        tiny.model(tiny_x)  # the module itself, past the split
    assert passes == Passes()
