"""The counted passes of methods whose cost is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from camsbench import scoring
from camsbench.cost import counted
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.methods.scorecam import ScoreCAM
from camsbench.methods.smoothgradcampp import SmoothGradCAMpp
from camsbench.split import TorchSplit
from camsbench.types import Explainer


@pytest.mark.parametrize(
    ("method", "forward", "head", "backward"),
    [(GradCAM(), 0, 2, 2), (SmoothGradCAMpp(n=3), 6, 0, 6), (ReciproCAM(), 0, 8, 0), (ScoreCAM(), 4, 0, 0)],
)
def test_passes_of_two_images(
    method: Explainer, forward: int, head: int, backward: int, tiny: TorchSplit, tiny_x: Tensor
) -> None:
    base = scoring.forward(tiny, tiny_x.expand(2, -1, -1, -1), torch.tensor([0, 1]), (0, 1))
    with counted(tiny) as passes:
        method(tiny, base)
    assert (passes.forward, passes.head_only, passes.backward) == (forward, head, backward)


def test_constant_channels_cost_no_pass(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 1
    base = scoring.forward(tiny, tiny_x, torch.tensor([0]), (0,))
    with counted(tiny) as passes:
        ScoreCAM()(tiny, base)
    assert passes.forward == 1


def test_the_uncut_model_counts_too_and_nothing_stays_behind(tiny: TorchSplit, tiny_x: Tensor) -> None:
    with counted(tiny) as passes:
        tiny.model(tiny_x.clone().requires_grad_()).sum().backward()
    assert (passes.forward, passes.head_only, passes.backward) == (1, 0, 1)
    tiny.model(tiny_x)
    assert passes.forward == 1
