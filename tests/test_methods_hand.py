"""Every method on a network small enough for paper (see ``conftest.Tiny``), and identities on real ones.

For the image of ``tiny_x``: A0 = [[1,2],[3,4]], A1 = [[0,2],[0,2]], and with target 0 the gradient of the logit is
1/4 on A0 and −1/4 on A1.
"""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.noise import normal, stream_seeds
from camsbench.core.passes import MicroBatch
from camsbench.core.types import Explainer, Forward
from camsbench.methods.abscam import AbsCAM, AbsCAMInit
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.gradcampp import GradCAMpp
from camsbench.methods.groupcam import GroupCAM
from camsbench.methods.reciprocam import ReciproCAM, spatial_masks
from camsbench.methods.scorecam import ScoreCAM
from camsbench.methods.smoothgradcampp import SmoothGradCAMpp
from camsbench.models.split import TorchSplit

A0 = torch.tensor([[1.0, 2], [3, 4]])
A1 = torch.tensor([[0.0, 2], [0, 2]])


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def probability(a0: float, a1: float) -> float:
    """p_0 from the means of A0 and A1: logits (a0 − a1, a0/2 + 2·a1)."""
    return sigmoid((a0 - a1) - (a0 / 2 + 2 * a1))


def forward_of(split: TorchSplit, x: Tensor) -> Forward:
    return scoring.forward(split, x, torch.zeros(len(x), dtype=torch.long), stream_seeds(0, ["a"] * len(x)))


def check(method: Explainer, split: TorchSplit, x: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(method(split, forward_of(split, x)), expected[None], rtol=1e-5, atol=1e-6)


def test_gradcam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(GradCAM(), tiny, tiny_x, torch.tensor([[0.25, 0], [0.75, 0.5]]))


def test_gradcam_is_cut_at_zero(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] *= 3  # A1 = [[0,6],[0,6]]: the right column falls below 0
    check(GradCAM(), tiny, tiny_x, torch.tensor([[0.25, 0], [0.75, 0]]))


def test_gradcampp(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # k = 0: four cells of (1/4)/(2 + (1/4)·10) = 1/18; k = 1: no positive gradient
    check(GradCAMpp(), tiny, tiny_x, 4 / 18 * A0)


def test_gradcampp_is_the_literal_formula_where_that_is_defined(vgg16: TorchSplit, images: Tensor) -> None:
    forward = forward_of(vgg16, images[:2])
    g, A = scoring.head_gradient(vgg16, forward).double(), forward.A.double()
    denominator = 2 * g**2 + A.sum((2, 3), keepdim=True) * g**3
    alpha = torch.where(g == 0, 0, g**2 / torch.where(g == 0, 1, denominator))
    expected = ((alpha * g.relu()).sum((2, 3), keepdim=True) * A).sum(1).relu()
    got = GradCAMpp()(vgg16, forward).double()
    torch.testing.assert_close(got / got.amax(), expected / expected.amax(), rtol=1e-4, atol=1e-6)


def test_smoothgradcampp_of_a_linear_head_is_gradcampp(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(SmoothGradCAMpp(n=3, sigma=0.5), tiny, tiny_x, 4 / 18 * A0)


def test_smoothgradcampp_equals_the_plain_loop(vgg16: TorchSplit, images: Tensor) -> None:
    forward = forward_of(vgg16, images[:1])
    noise = normal(forward, [(0, 0), (0, 1), (0, 2)])
    gradients = []
    for draw in noise:
        A = vgg16.features(forward.x + 0.3 * draw).requires_grad_()
        vgg16.head(A)[0, 0].backward()
        assert A.grad is not None
        gradients.append(A.grad[0])
    g = torch.stack(gradients)
    g2, g3 = g.pow(2).mean(0), g.pow(3).mean(0)
    denominator = 2 * g2 + forward.A[0].sum((1, 2), keepdim=True) * g3
    alpha = torch.where(denominator == 0, 0, g2 / torch.where(denominator == 0, 1, denominator))
    expected = ((alpha * g.mean(0).relu()).sum((1, 2), keepdim=True) * forward.A[0]).sum(0).relu()
    got = SmoothGradCAMpp(n=3, sigma=0.3)(replace(vgg16, micro_batch=MicroBatch(2)), forward)[0]
    torch.testing.assert_close(got / got.amax(), expected / expected.amax(), rtol=1e-3, atol=1e-5)


def test_noise_is_the_image_s_own(lite0: TorchSplit, images: Tensor) -> None:
    x = images[:3]
    together = replace(forward_of(lite0, x), seeds=stream_seeds(5, ["a", "b", "a"]))
    noise = normal(together, [(i, n) for i in range(3) for n in range(2)]).unflatten(0, (3, 2))
    assert torch.equal(noise[0], noise[2])
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0, 0], noise[0, 1])
    assert torch.equal(normal(together, [(0, 1), (1, 0)]), torch.stack([noise[0, 1], noise[1, 0]]))
    assert torch.equal(normal(together.select([1]), [(0, 0), (0, 1)]), noise[1])
    assert noise.std() == pytest.approx(1, abs=0.01)


SCORE0 = probability((2 / 3 + 2 + 4) / 4, 2 * (1 / 3 + 1) / 4)  # x ⊙ N(A0), N(A0) = [[0,1/3],[2/3,1]]
SCORE1 = probability((2 + 4) / 4, 2 * (1 + 1) / 4)  # x ⊙ N(A1), N(A1) = [[0,1],[0,1]]


def test_scorecam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    assert pytest.approx((0.237458, 0.095349), abs=1e-6) == (SCORE0, SCORE1)
    check(ScoreCAM(), tiny, tiny_x, SCORE0 * A0 + SCORE1 * A1)


def test_scorecam_leaves_constant_channels_out(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 1  # A1 = 2 everywhere: it masks nothing
    score = probability((2 / 3 + 2 + 4) / 4, 2 * (1 / 3 + 2 / 3 + 1) / 4)
    check(ScoreCAM(), tiny, tiny_x, score * A0)


def test_scorecam_equals_the_plain_loop(lite0: TorchSplit, images: Tensor) -> None:
    """Skipped channels and packed micro-batches against one pass a channel, for the first 40 channels."""
    forward = forward_of(lite0, images[:1])
    forward = replace(forward, A=forward.A[:, :40])
    got = ScoreCAM()(lite0, forward)[0]
    expected = torch.zeros(3, 3)
    for k in range(40):
        mask = F.interpolate(forward.A[:, k : k + 1], (96, 96), mode="bilinear", align_corners=False)
        if mask.max() == mask.min():
            continue
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        with torch.no_grad():
            expected += lite0.model(forward.x * mask).softmax(1)[0, 0] * forward.A[0, k]
    torch.testing.assert_close(got, expected.relu(), rtol=1e-3, atol=1e-9)


def test_abscam_init(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(AbsCAMInit(), tiny, tiny_x, 0.25 * A0 + 0.25 * A1)


def test_abscam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(AbsCAM(), tiny, tiny_x, 0.25 * SCORE0 * A0 + 0.25 * SCORE1 * A1)


def test_groupcam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Class 1, two groups of one channel: M0 = A0/8, M1 = A1/2. A flat blur of 3 pixels, reflected at the border,
    weighs each cell's own row (and column) 1/3 and the other 2/3."""
    blur = torch.tensor([[1 / 3, 2 / 3], [2 / 3, 1 / 3]])
    c0, c1 = tiny_x[0, 0], tiny_x[0, 1]
    b0, b1 = blur @ c0 @ blur, blur @ c1 @ blur
    baseline = probability(float(b0.mean()), 2 * float(b1.mean()))
    expected = torch.zeros(2, 2)
    for mask, group in (((A0 - 1) / 3, A0 / 8), (A1 / 2, A1 / 2)):
        x0, x1 = (c * mask + b * (1 - mask) for c, b in ((c0, b0), (c1, b1)))
        gain = (1 - probability(float(x0.mean()), 2 * float(x1.mean()))) - (1 - baseline)
        assert gain > 0.01
        expected += gain * group
    forward = replace(forward_of(tiny, tiny_x), target=torch.tensor([1]))
    got = GroupCAM(groups=2, kernel=3, sigma=1e6)(tiny, forward)
    torch.testing.assert_close(got[0], expected, rtol=1e-4, atol=1e-6)


def test_groupcam_ignores_groups_that_do_not_help(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # class 0: M1 = ReLU(−A1/4) = 0, and M0 shows more of A1, which speaks against the class
    check(GroupCAM(groups=2, kernel=3, sigma=1e6), tiny, tiny_x, torch.zeros(2, 2))


RECIPRO_LOGITS = [0.25, 0.0, 0.75, 0.5]  # (A0 − A1)/4, cell by cell
RECIPRO_MARGINS = [0.125, -1.25, 0.375, -1.0]  # (A0/2 − 3·A1)/4: logit 0 less logit 1


def test_reciprocam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(ReciproCAM(), tiny, tiny_x, torch.tensor([sigmoid(z) for z in RECIPRO_MARGINS]).view(2, 2))


def test_reciprocam_on_logits(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(ReciproCAM(score="logit"), tiny, tiny_x, torch.tensor(RECIPRO_LOGITS).view(2, 2))


def test_reciprocam_with_the_gaussian_mask(tiny: TorchSplit, tiny_x: Tensor) -> None:
    corner = (2 + 1) ** 2 / 16  # all four cells of a 2x2 map are corners
    check(ReciproCAM("gaussian", "logit"), tiny, tiny_x, corner * torch.tensor(RECIPRO_LOGITS).view(2, 2))


def test_gaussian_masks_sum_to_one_inside_and_less_at_the_border() -> None:
    masks = spatial_masks(3, 3, "gaussian", torch.zeros(1))
    sums = masks.sum((1, 2)).view(3, 3)
    corner, edge = 0.5625, 0.75
    assert sums.tolist() == [[corner, edge, corner], [edge, 1, edge], [corner, edge, corner]]
    assert masks[4].tolist() == [[0.0625, 0.125, 0.0625], [0.125, 0.25, 0.125], [0.0625, 0.125, 0.0625]]


@pytest.mark.parametrize("mask", ["cell", "gaussian"])
def test_reciprocam_of_an_average_pooled_head_is_cam(mask: str, lite0: TorchSplit, images: Tensor) -> None:
    """REFERENCE identity: on logits y_n = b + s·CAM_n/(hw), with s the mask's sum (CAM before its ReLU)."""
    forward = scoring.forward(lite0, images[:2], None, (0, 0))
    weight, bias = (lite0.model.get_parameter(f"classifier.{name}")[forward.target] for name in ("weight", "bias"))
    cam = torch.einsum("bk,bkhw->bhw", weight, forward.A)
    s = spatial_masks(3, 3, mask, cam).sum((1, 2)).view(3, 3)
    got = ReciproCAM(mask, "logit")(lite0, forward)
    torch.testing.assert_close(got, bias[:, None, None] + s * cam / 9, rtol=1e-4, atol=1e-5)


def test_gradcam_of_an_average_pooled_head_is_cam(lite0: TorchSplit, images: Tensor) -> None:
    forward = scoring.forward(lite0, images[:2], None, (0, 0))
    weight = lite0.model.get_parameter("classifier.weight")[forward.target]
    cam = torch.einsum("bk,bkhw->bhw", weight, forward.A).relu()
    torch.testing.assert_close(GradCAM()(lite0, forward) * 9, cam, rtol=1e-4, atol=1e-5)
