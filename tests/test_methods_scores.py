"""Methods that score perturbed copies, and the presets where implementations part: by hand, by identity, by peers.

For the image of ``tiny_x``: A0 = [[1,2],[3,4]], A1 = [[0,2],[0,2]], and with target 0 the gradient of the logit is
1/4 on A0 and −1/4 on A1. Images there are 2x2, so U is the identity.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import Occlusion as CaptumOcclusion
from exact import EXACT, in_double
from parity import Parity
from pytorch_grad_cam import GradCAMPlusPlus as PeerGradCAMpp
from pytorch_grad_cam import ScoreCAM as PeerScoreCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from skimage.transform import resize
from torch import Tensor
from torchcam import methods as torchcam
from torchvision.transforms.v2.functional import gaussian_blur

import camsbench
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_methods
from camsbench.core import scoring
from camsbench.core.noise import normal, normal_at, stream_seeds
from camsbench.core.passes import MicroBatch
from camsbench.core.saliency import normalise, upsample
from camsbench.core.types import Explainer, Forward
from camsbench.methods._channelwise import masked_scores, unit_maps
from camsbench.methods.abscam import AbsCAMInit
from camsbench.methods.abscam_readings import (
    AbsCAMChanGlobal,
    AbsCAMChanNorm,
    AbsCAMGroup,
    AbsCAMRefeed,
    AbsCAMScalar,
)
from camsbench.methods.gradcam_metrics_evaluator import (
    MetricsEvaluatorGradCAM,
    MetricsEvaluatorGradCAMpp,
    MetricsEvaluatorSmoothGradCAMpp,
)
from camsbench.methods.gradcampp import GradCAMpp
from camsbench.methods.groupcam import GroupCAM, GroupCAMv0
from camsbench.methods.iscam import ISCAM
from camsbench.methods.occlusion import Occlusion
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.methods.rise import RISE, interpolation
from camsbench.methods.scorecam import ScoreCAM
from camsbench.methods.smoothgradcampp import SmoothGradCAMpp
from camsbench.methods.smoothgradcampp_variants import TorchCAMSmoothGradCAMpp, VendoredSmoothGradCAMpp
from camsbench.methods.sscam import SSCAM
from camsbench.models.split import TorchSplit, cut

A0 = torch.tensor([[1.0, 2], [3, 4]])
A1 = torch.tensor([[0.0, 2], [0, 2]])
N0, N1 = (A0 - 1) / 3, A1 / 2
SIDE, TARGET = 96, [243, 559, 438]


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def logit(a0: float, a1: float) -> float:
    return a0 - a1


def probability(a0: float, a1: float) -> float:
    """p_0 from the means of A0 and A1: logits (a0 − a1, a0/2 + 2·a1)."""
    return sigmoid((a0 - a1) - (a0 / 2 + 2 * a1))


def means(x: Tensor) -> tuple[float, float]:
    """The means of A0 and A1 of an image [3,2,2]: A0 = ReLU(c0), A1 = ReLU(2·c1)."""
    return float(x[0].relu().mean()), float((2 * x[1]).relu().mean())


def p(x: Tensor) -> float:
    return probability(*means(x))


def forward_of(split: TorchSplit, x: Tensor, target: int = 0) -> Forward:
    return scoring.forward(split, x, torch.full((len(x),), target), stream_seeds(0, ["a"] * len(x)))


def check(method: Explainer, split: TorchSplit, x: Tensor, expected: Tensor, target: int = 0) -> None:
    torch.testing.assert_close(method(split, forward_of(split, x, target)), expected[None], rtol=1e-5, atol=1e-6)


def preset(name: str) -> Explainer:
    return make_methods(compose_config([f"method={name}"]))[name]


def unit(maps: Tensor) -> Tensor:
    """Min-max of maps [B,h,w]."""
    return normalise(maps[:, None])[0].squeeze(1)


@pytest.fixture(scope="module")
def middle(lite0: TorchSplit) -> TorchSplit:
    """EfficientNet-Lite0 on small images, cut in its fourth stage: 240 channels of 6x6, and a head that is no GAP."""
    preprocess = replace(lite0.preprocess, resize=SIDE, crop=SIDE)
    return cut(lite0.model, LAYER, preprocess, name="lite0", micro_batch=MicroBatch(16))


LAYER = "blocks.3.0.bn2"


@pytest.fixture(scope="module")
def small(full_images: Tensor) -> Tensor:
    return F.interpolate(full_images[:3], (SIDE, SIDE), mode="area")


def forward_to(split: TorchSplit, x: Tensor) -> Forward:
    """Each image with its own target and stream."""
    return scoring.forward(split, x, torch.tensor(TARGET[: len(x)]), stream_seeds(0, "abc"[: len(x)]))


def few_channels(forward: Forward, count: int) -> Forward:
    return replace(forward, A=forward.A[:, :count])


# Score-CAM


def test_scorecam_torchcam_is_a_softmax_over_channels(tiny: TorchSplit, tiny_x: Tensor) -> None:
    logits = torch.tensor([logit(*means(tiny_x[0] * mask)) for mask in (N0, N1)])
    weight = logits.softmax(0)
    for name in ("scorecam_torchcam", "scorecam_gradcam"):
        check(preset(name), tiny, tiny_x, weight[0] * A0 + weight[1] * A1)


def test_scorecam_torchcam_gives_a_constant_channel_the_black_image(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 1  # A1 = 2 everywhere
    weight = torch.tensor([logit(*means(tiny_x[0] * N0)), 0.0]).softmax(0)
    check(preset("scorecam_torchcam"), tiny, tiny_x, weight[0] * A0 + weight[1] * 2)


def test_scorecam_torchcam21_sums_normalised_maps(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(preset("scorecam_torchcam21"), tiny, tiny_x, p(tiny_x[0] * N0) * N0 + p(tiny_x[0] * N1) * N1)


def test_scorecam_torchcam21_equals_the_plain_loop(middle: TorchSplit, small: Tensor) -> None:
    """N before U, as its commit 57474d6 has it, and the NaN of constant maps dropped."""
    forward = few_channels(forward_of(middle, small[:1]), 20)
    A = forward.A[0] - forward.A[0].amin((1, 2), keepdim=True)
    A = A / A.amax((1, 2), keepdim=True)
    with torch.no_grad():
        masks = F.interpolate(A[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)
        weight = middle.model(masks * small[:1]).softmax(1)[:, 0]
    expected = torch.nansum(weight[:, None, None] * A, 0).relu()
    got = preset("scorecam_torchcam21")(middle, forward)[0]
    torch.testing.assert_close(got / got.amax(), expected / expected.amax(), rtol=0, atol=1e-4)


@pytest.mark.parity
def test_scorecam_equals_torchcam(middle: TorchSplit, small: Tensor, parity: Parity) -> None:
    with torchcam.ScoreCAM(middle.model, LAYER) as peer, torch.no_grad():
        middle.model(small[:1])
        theirs = peer(TARGET[0], normalized=False)[0]
    forward = forward_to(middle, small[:1])
    parity.agrees("scorecam_torchcam", "torchcam", middle.name, preset("scorecam_torchcam")(middle, forward), theirs)
    why = "its weights are a softmax of logits over the channels"
    parity.parts("scorecam", "torchcam", middle.name, preset("scorecam")(middle, forward), theirs, why)


def test_scorecam_torchcam_s_constant_channels_equal_the_plain_loop(middle: TorchSplit, small: Tensor) -> None:
    with torch.no_grad():
        black = middle.model(torch.zeros_like(small[:1])).argmax(1)  # the class that a black image counts for
        forward = few_channels(scoring.forward(middle, small[:1], black, (0,)), 6)
        forward.A[:, 2] = 0.7
        masks = F.interpolate(normalise(forward.A)[0], (SIDE, SIDE), mode="bilinear", align_corners=False)[0, :, None]
        weight = middle.model(masks * small[:1])[:, black[0]].softmax(0)
    assert weight[2] > 0.1
    expected = (weight[:, None, None] * forward.A[0]).sum(0, keepdim=True).relu()
    torch.testing.assert_close(preset("scorecam_torchcam")(middle, forward), expected, rtol=1e-4, atol=1e-5)


def test_softmax_over_channels_is_another_method(middle: TorchSplit, small: Tensor) -> None:
    forward = few_channels(forward_to(middle, small[:1]), 20)
    ours, softmax = ScoreCAM()(middle, forward), preset("scorecam_torchcam")(middle, forward)
    assert (unit(ours) - unit(softmax)).abs().amax() > 0.05


@pytest.mark.parity
def test_scorecam_equals_grad_cam(middle: TorchSplit, small: Tensor, parity: Parity) -> None:
    with PeerScoreCAM(model=middle.model, target_layers=[middle.model.get_submodule(LAYER)]) as peer, torch.no_grad():
        theirs = torch.from_numpy(peer(small[:1], [ClassifierOutputTarget(TARGET[0])]))
    forward = forward_to(middle, small[:1])
    mine = unit(preset("scorecam_gradcam")(middle, forward))  # grad-cam min-maxes, then scales with OpenCV
    upsampled = F.interpolate(mine[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False).squeeze(1)
    parity.agrees("scorecam_gradcam", "grad-cam", middle.name, upsampled, theirs)
    plain = F.interpolate(unit(preset("scorecam")(middle, forward))[:, None], (SIDE, SIDE), mode="bilinear")
    why = "its weights are a softmax of logits over the channels, its masks have aligned corners"
    parity.parts("scorecam", "grad-cam", middle.name, plain.squeeze(1), theirs, why)


def test_scorecam_refuses_unknown_options() -> None:
    for option in ("weight", "mask", "maps"):
        with pytest.raises(ValueError, match=f"{option} is 'x'"):
            ScoreCAM(**{option: "x"})


# SS-CAM


def test_sscam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    forward = forward_of(tiny, tiny_x)
    copies = torch.arange(6)
    noise = normal_at(forward, torch.zeros(6, dtype=torch.long), copies, (1, 2, 2)).view(2, 3, 2, 2)
    expected = torch.zeros(2, 2)
    for mask, A, draws in ((N0, A0, noise[0]), (N1, A1, noise[1])):
        expected += sum(p(tiny_x[0] * (mask + 0.5 * draw)) for draw in draws) / 3 * A
    check(SSCAM(n=3, sigma=0.5), tiny, tiny_x, expected)


def test_sscam_on_the_input(tiny: TorchSplit, tiny_x: Tensor) -> None:
    forward = forward_of(tiny, tiny_x)
    noise = normal_at(forward, torch.zeros(4, dtype=torch.long), torch.arange(4), (3, 2, 2)).view(2, 2, 3, 2, 2)
    expected = torch.zeros(2, 2)
    for mask, A, draws in ((N0, A0, noise[0]), (N1, A1, noise[1])):
        expected += sum(p(tiny_x[0] * mask + 0.5 * draw) for draw in draws) / 2 * A
    check(SSCAM(n=2, sigma=0.5, noise="input"), tiny, tiny_x, expected)


@pytest.mark.parametrize("noise", ["mask", "input"])
def test_sscam_without_noise_is_scorecam(noise: str, middle: TorchSplit, small: Tensor) -> None:
    forward = few_channels(forward_to(middle, small[:2]), 20)
    got = SSCAM(n=2, sigma=0.0, noise=noise)(middle, forward)
    torch.testing.assert_close(got, ScoreCAM()(middle, forward), rtol=1e-4, atol=1e-9)


class SameNoise:
    """torchcam's source of noise, giving sample after sample the draws that SSCAM makes."""

    def __init__(self, draws: Tensor) -> None:
        self.draws: Iterator[Tensor] = iter(draws)

    def sample(self, size: torch.Size) -> Tensor:
        return next(self.draws).view(size)


@pytest.mark.parity
def test_sscam_parts_from_torchcam(lite0: TorchSplit, small: Tensor, parity: Parity) -> None:
    """With the same noise: theirs adds it to U(N(A)), scores constant channels, and takes a softmax of mean logits."""
    split = cut(lite0.model, "blocks.0.0.bn2", replace(lite0.preprocess, resize=SIDE, crop=SIDE), name=lite0.name)
    forward, n = forward_to(split, small[:1]), 3
    K = forward.A.shape[1]
    copies = torch.arange(K * n)
    noise = 2 * normal_at(forward, torch.zeros_like(copies), copies, (SIDE, SIDE)).view(K, n, SIDE, SIDE)
    with torchcam.SSCAM(split.model, "blocks.0.0.bn2", num_samples=n) as peer, torch.no_grad():
        peer._distrib = SameNoise(noise.transpose(0, 1))
        split.model(small[:1])
        theirs = unit(peer(TARGET[0], normalized=False)[0])
        masks = F.interpolate(normalise(forward.A)[0], (SIDE, SIDE), mode="bilinear", align_corners=False)[0]
        noisy = ((masks[:, None] + noise).flatten(0, 1)[:, None]) * small[:1]  # [K·n,3,H,W]
        weight = split.model(noisy)[:, TARGET[0]].view(K, n).mean(1).softmax(0)
    literal = unit((weight[:, None, None] * forward.A[0]).sum(0, keepdim=True).relu())
    torch.testing.assert_close(theirs, literal, rtol=0, atol=1e-4)
    why = "softmax of mean logits over the channels, noise on U(N(A))"
    parity.parts("sscam", "torchcam", split.name, SSCAM(n=n)(split, forward), theirs, why, 0.01)


def test_noise_made_on_the_way_is_normal_and_the_copy_s_own(tiny: TorchSplit) -> None:
    forward = replace(forward_of(tiny, torch.zeros(3, 3, 2, 2)), seeds=stream_seeds(5, ["a", "b", "a"]))
    image, copy = torch.tensor([0, 1, 2, 0]), torch.tensor([7, 7, 7, 8])
    noise = normal_at(forward, image, copy, (3, 101, 101))
    assert torch.equal(noise[0], noise[2])
    assert torch.equal(normal_at(forward, image[1:2], copy[1:2], (3, 101, 101))[0], noise[1])
    correlation = torch.corrcoef(noise[[0, 1, 3]].flatten(1))
    assert (correlation - torch.eye(3)).abs().amax() < 0.02
    neighbours = torch.corrcoef(torch.stack([noise[0, :, :, 1:].flatten(), noise[0, :, :, :-1].flatten()]))[0, 1]
    assert neighbours.abs() < 0.02
    ordered = noise[[0, 1, 3]].flatten().sort().values
    uniform = 0.5 * (1 + torch.erf(ordered / math.sqrt(2)))
    distance = (uniform - torch.linspace(0, 1, len(uniform))).abs().amax()
    assert distance < 1.63 / math.sqrt(len(uniform))  # Kolmogorov-Smirnov at 1 %


# IS-CAM


def test_iscam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    expected = torch.zeros(2, 2)
    for mask, A in ((N0, A0), (N1, A1)):
        expected += sum(p(tiny_x[0] * mask * share) for share in (0.25, 0.5, 0.75, 1.0)) / 4 * A
    check(ISCAM(n=4), tiny, tiny_x, expected)


def test_iscam_of_one_step_is_scorecam(middle: TorchSplit, small: Tensor) -> None:
    forward = few_channels(forward_to(middle, small[:2]), 20)
    torch.testing.assert_close(ISCAM(n=1)(middle, forward), ScoreCAM()(middle, forward), rtol=1e-4, atol=1e-9)


@pytest.mark.parity
def test_iscam_parts_from_torchcam_which_adds_its_steps_up(lite0: TorchSplit, small: Tensor, parity: Parity) -> None:
    split = cut(lite0.model, "blocks.0.0.bn2", replace(lite0.preprocess, resize=SIDE, crop=SIDE), name=lite0.name)
    forward, n = forward_to(split, small[:1]), 10
    with torchcam.ISCAM(split.model, "blocks.0.0.bn2", num_samples=n) as peer, torch.no_grad():
        split.model(small[:1])
        theirs = unit(peer(TARGET[0], normalized=False)[0])
        masks = F.interpolate(normalise(forward.A)[0], (SIDE, SIDE), mode="bilinear", align_corners=False)[0]
        literal = []
        for steps in (torch.arange(1, n + 1).cumsum(0) / n, torch.arange(1, n + 1) / n):  # 0.1, 0.3 … 5.5; 0.1 … 1
            mean = sum(split.model(step * masks[:, None] * small[:1])[:, TARGET[0]] for step in steps) / n
            weight = torch.as_tensor(mean).softmax(0)
            literal.append(unit((weight[:, None, None] * forward.A[0]).sum(0, keepdim=True).relu()))
    torch.testing.assert_close(theirs, literal[0], rtol=0, atol=1e-4)
    assert (theirs - literal[1]).abs().amax() > 0.01
    why = "its steps add up to 0.1, 0.3 … 5.5; softmax over the channels"
    parity.parts("iscam", "torchcam", split.name, ISCAM(n=n)(split, forward), theirs, why, 0.01)


# RISE


def test_rise(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """s = 1: a mask is 0 or 1 everywhere, so the map is p_c(x) times the share of ones, over p1."""
    method = RISE(n=40, s=1, p1=0.25)
    forward = forward_of(tiny, tiny_x)
    grids, shifts = method.draw(forward)
    assert set(shifts.flatten().tolist()) == {0, 1}
    ones = float(grids.mean())
    check(method, tiny, tiny_x, torch.full((2, 2), p(tiny_x[0]) * ones / 0.25))


def test_rise_by_hand(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """s = 2 on 2x2 pixels: cells of one pixel, no shift; two cells upsampled to three pixels, whose centres lie at
    −1/6, 1/2 and 7/6 of the cells', are (5a + b)/6, (a + b)/2, (a + 5b)/6: mirrored at the rim."""
    method = RISE(n=5, s=2)
    grids, shifts = method.draw(forward_of(tiny, tiny_x))
    assert shifts.sum() == 0
    rows = torch.tensor([[5 / 6, 1 / 6], [0.5, 0.5]])
    masks = rows @ grids[0] @ rows.T
    expected = sum((p(tiny_x[0] * mask) * mask for mask in masks), torch.zeros(2, 2)) / 2.5
    check(method, tiny, tiny_x, expected)


def rise_masks(grids: Tensor, shifts: Tensor, height: int, width: int) -> Tensor:
    """Masks [n,H,W] of grids [n,s,s] and shifts [n,2] as RISE's authors make them: resized by scikit-image, cropped."""
    s = grids.shape[1]
    whole = [(s + 1) * math.ceil(side / s) for side in (height, width)]
    large = (resize(grid, whole, order=1, mode="reflect", anti_aliasing=False) for grid in grids.numpy())
    cropped = [m[a : a + height, b : b + width] for m, (a, b) in zip(large, shifts.tolist(), strict=True)]
    return torch.from_numpy(np.stack(cropped))


def test_rise_equals_the_authors_loop(middle: TorchSplit, small: Tensor) -> None:
    """Each mask made by itself, on an image that is not square."""
    method, x = RISE(n=24, s=7), small[:2, :, :, :80]
    forward = forward_to(middle, x)
    grids, shifts = method.draw(forward)  # cells of ⌈96/7⌉ = 14 times ⌈80/7⌉ = 12 pixels
    assert shifts.amin() >= 0
    assert shifts[..., 0].amax() in (12, 13)
    assert shifts[..., 1].amax() in (10, 11)
    masks = torch.stack([rise_masks(*drawn, 96, 80) for drawn in zip(grids, shifts, strict=True)])  # [2,24,96,80]
    with torch.no_grad():
        logits = middle.logits((masks[:, :, None] * x[:, None]).flatten(0, 1))
    score = logits.softmax(1).unflatten(0, (2, 24))[[0, 1], :, TARGET[:2]]
    expected = (score[:, :, None, None] * masks).sum(1) / (24 * 0.5)
    torch.testing.assert_close(method(middle, forward), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(("side", "s"), [(224, 7), (224, 8), (80, 7), (13, 5), (9, 2), (10, 1)])
def test_rise_masks_are_the_authors(side: int, s: int) -> None:
    """Every pixel of every shift, the grid's outer half cell too, which scikit-image mirrors."""
    grids = (torch.rand(3, s, s, generator=torch.Generator().manual_seed(side)) < 0.5).float()
    weights = interpolation(side, s, grids)  # [c,side,s]
    for down, rows in enumerate(weights):
        right = len(weights) - 1 - down
        theirs = rise_masks(grids, torch.tensor([[down, right]] * 3), side, side)
        torch.testing.assert_close(rows @ grids @ weights[right].T, theirs, rtol=0, atol=1e-6)


@pytest.mark.parity
def test_rise_equals_the_authors_code(full_lite0: TorchSplit, full_images: Tensor, parity: Parity) -> None:
    """The scores of all masks at once, times the masks, over n and p1, as eclique/RISE's ``forward``."""
    x, n, p1 = full_images[:1], 200, 0.5
    forward = forward_to(full_lite0, x)
    method = RISE(n=n, s=7, p1=p1)
    grids, shifts = method.draw(forward)
    masks = rise_masks(grids[0], shifts[0], *x.shape[2:])
    with torch.no_grad():
        scores = torch.cat([full_lite0.logits(part[:, None] * x).softmax(1) for part in masks.split(50)])
    theirs = (scores.T[TARGET[:1]] @ masks.flatten(1)).view(1, *x.shape[2:]) / n / p1
    mine = method(full_lite0, forward)
    parity.agrees("rise", "RISE (authors' code)", full_lite0.name, mine, theirs, why="on its grids and shifts, n=200")


@pytest.mark.parity
def test_rise_parts_from_torchray_s_masks(parity: Parity) -> None:
    """TorchRay's masks: cells of ⌈(H + ⌈H/s⌉)/s⌉ whole pixels, of which it shows the first H + ⌈H/s⌉."""
    side, s = 224, 7
    cell = math.ceil(side / s)
    scale = math.ceil((side + cell) / s)
    grids = (torch.rand(4, s, s, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    padded = F.pad(grids[:, None], (1, 1, 1, 1), mode="reflect")
    large = F.interpolate(padded, (scale * (s + 2),) * 2, mode="bilinear", align_corners=False)[:, 0]
    weights = interpolation(side, s, grids)
    mine = weights[-1] @ grids @ weights[-1].T
    first = scale + cell - 1
    theirs = large[:, first : first + side, first : first + side]
    parity.parts("rise", "TorchRay's masks", "224 pixels", mine, theirs, "cells of 37 whole pixels, not of 256/7", 0.01)


def test_rise_finds_what_a_constant_score_hides(middle: TorchSplit, small: Tensor) -> None:
    """The mean mask is p1 everywhere as n grows, and masks are the image's own."""
    method = RISE(n=4000)
    forward = replace(forward_of(middle, small[:3]), seeds=stream_seeds(0, ["a", "b", "a"]))
    grids, shifts = method.draw(forward)
    assert float(grids.mean()) == pytest.approx(0.5, abs=0.005)
    assert torch.equal(grids[0], grids[2])
    assert torch.equal(shifts[0], shifts[2])
    assert not torch.equal(grids[0], grids[1])
    assert shifts.float().mean() == pytest.approx(6.5, abs=0.2)  # uniform on 0 … 13


# occlusion


def test_occlusion(tiny: TorchSplit, tiny_x: Tensor) -> None:
    expected = torch.zeros(2, 2)
    for i in range(2):
        for j in range(2):
            hidden = tiny_x[0].clone()
            hidden[:, i, j] = 0.5
            expected[i, j] = p(tiny_x[0]) - p(hidden)
    check(Occlusion(window=1, stride=1, baseline=0.5), tiny, tiny_x, expected)


@pytest.mark.parity
@pytest.mark.parametrize(("window", "stride", "baseline"), [(20, 16, 0.0), (31, 9, -1.5)])
def test_occlusion_equals_captum(
    window: int, stride: int, baseline: float, middle: TorchSplit, small: Tensor, parity: Parity
) -> None:
    """Also where the last window sticks out of the image."""
    x = small[:2, :, :, :80].contiguous()
    peer = CaptumOcclusion(lambda image: middle.model(image).softmax(1))
    with torch.no_grad():
        theirs = peer.attribute(
            x, (3, window, window), (3, stride, stride), baseline, TARGET[:2], perturbations_per_eval=8
        )
    mine = Occlusion(window, stride, baseline)(middle, forward_to(middle, x))
    torch.testing.assert_close(mine, theirs[:, 0].float(), rtol=1e-3, atol=1e-6)
    parity.agrees("occlusion", "captum", middle.name, mine, theirs[:, 0], why=f"window {window}, stride {stride}")


def test_occlusion_refuses_windows_that_do_not_fit(tiny: TorchSplit, tiny_x: Tensor) -> None:
    with pytest.raises(ValueError, match="stride must be at least 1 and at most window"):
        Occlusion(window=8, stride=9)
    with pytest.raises(ValueError, match="window=15: it must fit into the images"):
        Occlusion()(tiny, forward_of(tiny, tiny_x))


# Abs-CAM's readings


def test_abscam_scalar(tiny: TorchSplit, tiny_x: Tensor) -> None:
    initial = 0.25 * (A0 + A1)  # [1,4,3,6]/4
    mask = torch.tensor([[0, 0.6], [0.4, 1]])
    check(AbsCAMScalar(), tiny, tiny_x, p(tiny_x[0] * mask) * initial)


def test_abscam_scalar_cannot_differ_from_its_initial_map(middle: TorchSplit, small: Tensor) -> None:
    forward = forward_to(middle, small)
    assert AbsCAMScalar()(middle, forward).amax() > 0
    torch.testing.assert_close(
        unit(AbsCAMScalar()(middle, forward)), unit(AbsCAMInit()(middle, forward)), rtol=0, atol=1e-5
    )


def test_abscam_chan_norm(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(AbsCAMChanNorm(), tiny, tiny_x, p(tiny_x[0] * N0) * N0 + p(tiny_x[0] * N1) * N1)


def test_abscam_chan_norm_is_its_equation_at_full_size(middle: TorchSplit, small: Tensor) -> None:
    """Upsampled, the sum at map size is Σ p_c N(U(W_k A_k)); W_k > 0 has gone: Score-CAM with normalised maps."""
    forward = few_channels(forward_to(middle, small[:2]), 20)
    gradient = torch.rand(2, 20, 6, 6, generator=torch.Generator().manual_seed(0))
    weighted = gradient.mean((2, 3), keepdim=True) * forward.A
    large = normalise(F.interpolate(weighted, (SIDE, SIDE), mode="bilinear"))[0]
    with torch.no_grad():
        masked = (large[:, :, None] * small[:2, None]).flatten(0, 1)
        score = middle.logits(masked).softmax(1).unflatten(0, (2, 20))[[0, 1], :, TARGET[:2]]
    score = torch.where(forward.A.amax((2, 3)) > forward.A.amin((2, 3)), score, 0)
    expected = (score[:, :, None, None] * large).sum(1)
    weight = masked_scores(middle, forward, weighted)[:, :, None, None]
    got = (weight * unit_maps(middle, forward, weighted)).sum(1)
    got = F.interpolate(got[:, None], (SIDE, SIDE), mode="bilinear").squeeze(1)
    torch.testing.assert_close(got / got.amax(), expected / expected.amax(), rtol=0, atol=1e-4)


def test_abscam_chan_global(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # W = 1/4 for both; over both channels the minimum is 0 and the maximum 4/4: N = A/4
    check(AbsCAMChanGlobal(), tiny, tiny_x, p(tiny_x[0] * A0 / 4) * A0 / 4 + p(tiny_x[0] * A1 / 4) * A1 / 4)


def test_abscam_chan_global_keeps_the_weights(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # class 1: W = (1/8, 1/2), W A = A0/8 and A1/2, the maximum 1
    q0, q1 = (1 - p(tiny_x[0] * mask) for mask in (A0 / 8, A1 / 2))
    check(AbsCAMChanGlobal(), tiny, tiny_x, q0 * A0 / 8 + q1 * A1 / 2, target=1)


def test_abscam_group32_is_groupcam_with_absolute_weights(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Class 1: the weights are positive anyway; class 0: A1's −1/4 becomes 1/4, and one group of both is not cut."""
    grouped = replace(preset("abscam_group32"), groups=2, kernel=3)  # type: ignore[type-var]
    check(grouped, tiny, tiny_x, GroupCAM(2, 3)(tiny, forward_of(tiny, tiny_x, 1))[0], target=1)
    maps = AbsCAMGroup(groups=1).maps(tiny, forward_of(tiny, tiny_x))
    torch.testing.assert_close(maps[0, 0], 0.25 * (A0 + A1))
    torch.testing.assert_close(GroupCAM(groups=1).maps(tiny, forward_of(tiny, tiny_x))[0, 0], 0.25 * (A0 - A1).relu())


def test_abscam_refeed(tiny: TorchSplit, tiny_x: Tensor) -> None:
    mask = torch.tensor([[0, 0.6], [0.4, 1]])
    check(AbsCAMRefeed(), tiny, tiny_x, 0.25 * (A0 * mask + A1 * mask))  # the head is linear: W stays 1/4


# ReciproCAM


def test_reciprocam_gaussian() -> None:
    assert preset("reciprocam_gaussian") == ReciproCAM(mask="gaussian", score="softmax")


# Grad-CAM++


def test_gradcampp_variants(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # k = 0: g = 1/4 in four cells, ΣA = 10; k = 1: no positive gradient
    check(GradCAMpp(divide=False), tiny, tiny_x, 4 / 64 * A0)
    check(GradCAMpp(epsilon=0.5), tiny, tiny_x, 4 * (1 / 64) / (2 / 16 + 10 / 64 + 0.5) * A0)


@pytest.mark.parity
def test_gradcampp_torchcam_equals_torchcam(
    full_lite0: TorchSplit, full_vgg16: TorchSplit, full_images: Tensor, parity: Parity
) -> None:
    for split, layer in ((full_lite0, "bn2"), (full_vgg16, "features.29")):
        with torchcam.GradCAMpp(split.model, layer) as peer:
            scores = split.model(full_images[:1].clone().requires_grad_())
            theirs = peer(TARGET[0], scores, normalized=False)[0].detach()
        mine = preset("gradcampp_torchcam")(split, forward_to(split, full_images[:1]))
        assert unit(mine).amax() == 1
        parity.agrees("gradcampp_torchcam", "torchcam", split.name, mine, theirs)


@pytest.mark.parity
def test_gradcampp_gradcam_equals_grad_cam(
    full_lite0: TorchSplit, full_vgg16: TorchSplit, full_images: Tensor, parity: Parity
) -> None:
    for split, layer in ((full_lite0, "bn2"), (full_vgg16, "features.29")):
        with PeerGradCAMpp(model=split.model, target_layers=[split.model.get_submodule(layer)]) as peer:
            peer(full_images[:1].clone().requires_grad_(), [ClassifierOutputTarget(TARGET[0])])
            A, g = (
                t[0].numpy() for t in (peer.activations_and_grads.activations, peer.activations_and_grads.gradients)
            )
            weight = torch.from_numpy(peer.get_cam_weights(None, None, None, A, g))  # its own min-max adds 1e-7
        theirs = (weight[:, :, None, None] * torch.from_numpy(A)).sum(1).relu()
        mine = preset("gradcampp_gradcam")(split, forward_to(split, full_images[:1]))
        parity.agrees("gradcampp_gradcam", "grad-cam", split.name, mine, theirs)
        if split is full_lite0:  # 1e-6 is of g²'s own size there
            own = preset("gradcampp")(split, forward_to(split, full_images[:1]))
            parity.parts("gradcampp", "grad-cam", split.name, own, theirs, "adds 1e-6 to the denominator")


def test_gradcampp_gradcam_s_epsilon_moves_maps(full_lite0: TorchSplit, full_images: Tensor) -> None:
    forward = forward_to(full_lite0, full_images[:3])
    difference = (
        (unit(preset("gradcampp_gradcam")(full_lite0, forward)) - unit(GradCAMpp()(full_lite0, forward))).abs().amax()
    )
    assert 0.005 < difference < 0.1


# Smooth Grad-CAM++


def test_smoothgradcampp_torchcam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """The gradient is constant here, so only the last sample's activation leaks."""
    method = TorchCAMSmoothGradCAMpp(n=3, sigma=0.5)
    last = tiny_x[0] + 0.5 * normal(forward_of(tiny, tiny_x), [(0, 2)])[0]
    check(method, tiny, tiny_x, 4 / 18 * last[0].relu())


@pytest.mark.parity
def test_smoothgradcampp_torchcam_equals_torchcam(full_vgg16: TorchSplit, full_images: Tensor, parity: Parity) -> None:
    forward = forward_to(full_vgg16, full_images[:1])
    method = TorchCAMSmoothGradCAMpp(n=2)
    with torchcam.SmoothGradCAMpp(full_vgg16.model, "features.29", num_samples=2) as peer:
        peer._distrib = SameNoise(0.3 * normal(forward, [(0, 0), (0, 1)]))
        full_vgg16.model(full_images[:1])
        theirs = unit(peer(TARGET[0], normalized=False)[0].detach())
    parity.agrees("smoothgradcampp_torchcam", "torchcam", full_vgg16.name, method(full_vgg16, forward), theirs)
    why = "the last noisy sample's A and g make the map"
    parity.parts(
        "smoothgradcampp", "torchcam", full_vgg16.name, SmoothGradCAMpp(n=2)(full_vgg16, forward), theirs, why, 0.05
    )


def test_smoothgradcampp_vendored(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Each sample's map is a multiple of its A0: the gradient of A1 is negative, and min-max takes the weight out."""
    forward = forward_of(tiny, tiny_x)
    noise = normal_at(forward, torch.zeros(5, dtype=torch.long), torch.arange(5), (3, 2, 2))
    maps = [(tiny_x[0, 0] + 0.8 / 4 * draw[0]).relu() for draw in noise]  # the image spans [0,4]
    expected = sum(((m - m.amin()) / (m.amax() - m.amin()) for m in maps), torch.zeros(2, 2)) / 5
    check(VendoredSmoothGradCAMpp(n=5, spread=0.8), tiny, tiny_x, expected)


def test_smoothgradcampp_vendored_equals_the_plain_loop(middle: TorchSplit, small: Tensor) -> None:
    middle, small = in_double(middle), small[:2].double()  # poles magnify rounding
    forward = forward_to(middle, small)
    expected = []
    for i, target in enumerate(TARGET[:2]):
        x, copies = small[i : i + 1], torch.arange(3)
        noise = normal_at(forward, torch.full((3,), i), copies, (3, SIDE, SIDE))
        total = torch.zeros(6, 6).double()
        for draw in noise:
            A = middle.features(x + 0.15 / (x.max() - x.min()) * draw.double()).detach().requires_grad_()
            score = middle.head(A)[0, target]
            (g,) = torch.autograd.grad(score, A)
            denominator = 2 * g.pow(2) + (A * g.pow(3)).flatten(2).sum(-1)[..., None, None]
            alpha = g.pow(2) / (torch.where(denominator != 0, denominator, torch.ones(())) + 1e-7)
            weight = (alpha * (score.exp() * g).relu()).sum((2, 3), keepdim=True)
            cam = (weight * A).sum(1).relu()[0].detach()
            total += (cam - cam.min()) / (cam.max() - cam.min())
        expected.append(total / 3)
    got = VendoredSmoothGradCAMpp(n=3)(replace(middle, micro_batch=MicroBatch(4)), forward)
    torch.testing.assert_close(got, torch.stack(expected), rtol=0, atol=EXACT)


# Group-CAM


def test_groupcam_v0(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Class 1: M0 = A0/8 and M1 = A1/2; of four cells the 70th percentile lies 2.1 steps up the sorted values."""
    blur = torch.tensor([[1 / 3, 2 / 3], [2 / 3, 1 / 3]])  # a flat blur of 3 pixels, reflected at the border
    blurred = blur @ tiny_x[0] @ blur
    expected = torch.zeros(2, 2)
    # A0's threshold is 3.1: only 4 is left; A1's is 2: nothing is above it, so the group is left out
    mask = torch.tensor([[0.0, 0], [0, 1]])
    expected += ((1 - p(tiny_x[0] * mask + blurred * (1 - mask))) - (1 - p(blurred))) * mask
    method = GroupCAMv0(groups=2, kernel=3, sigma=1e6)
    check(method, tiny, tiny_x, expected.relu(), target=1)


def test_groupcam_v0_equals_the_plain_loop(middle: TorchSplit, small: Tensor) -> None:
    forward = forward_to(middle, small[:2])
    weight = scoring.head_gradient(middle, forward).mean((2, 3), keepdim=True)
    blurred = gaussian_blur(small[:2], [51, 51], [50.0, 50.0])
    expected = torch.zeros(2, SIDE, SIDE)
    with torch.no_grad():
        for i, target in enumerate(TARGET[:2]):
            baseline = middle.model(blurred[i : i + 1]).softmax(1)[0, target]
            for run in (weight * forward.A)[i : i + 1].chunk(8, 1):
                group = run.sum(1, keepdim=True).relu()
                group = torch.where(group > float(np.percentile(group.numpy(), 70)), group, 0)
                group = F.interpolate(group, (SIDE, SIDE), mode="bilinear", align_corners=False)
                if group.max() == group.min():
                    continue
                mask = (group - group.min()) / (group.max() - group.min())
                score = middle.model(small[i] * mask + blurred[i] * (1 - mask)).softmax(1)[0, target]
                expected[i] += ((score - baseline) * mask)[0, 0]
    got = GroupCAMv0(groups=8)(middle, forward)
    assert (expected < 0).any()  # so that it matters where the ReLU is taken
    torch.testing.assert_close(got, expected.relu(), rtol=1e-3, atol=1e-6)


# Grad-CAM of the Metrics-Evaluator


def test_gradcam_metrics_evaluator(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # ∂p_0/∂y_0 = p(1 − p) = −∂p_0/∂y_1, so the gradient is p(1 − p)/4 · (1 − 1/2, −1 − 2)
    q = p(tiny_x[0])
    check(MetricsEvaluatorGradCAM(), tiny, tiny_x, (q * (1 - q) / 4 * (0.5 * N0 - 3 * N1)).relu())
    r = q * (1 - q) / 4
    check(MetricsEvaluatorGradCAM(), tiny, tiny_x, (r * (-0.5 * N0 + 3 * N1)).relu(), target=1)


def test_gradcampp_metrics_evaluator(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """A1's gradient is negative and weighs nothing; A0's is g = p(1 − p)/8 in each of four cells, its sum is 10."""
    q = p(tiny_x[0])
    g = q * (1 - q) / 8
    check(MetricsEvaluatorGradCAMpp(), tiny, tiny_x, 4 * g / (2 + 10 * g) * N0)


def test_smoothgradcampp_metrics_evaluator(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """The logit's gradient is 1/4 for A0, so that its weight is 1/(2 + ΣA0/4), of the last noisy sample's A0."""
    method = MetricsEvaluatorSmoothGradCAMpp(n=3, sigma=0.5)
    last = (tiny_x[0] + 0.5 * normal(forward_of(tiny, tiny_x), [(0, 2)])[0])[0].relu()
    unit_map = (last - last.amin()) / (last.amax() - last.amin())
    check(method, tiny, tiny_x, unit_map / (2 + last.sum() / 4))


def evaluator_map(A: Tensor, weight: Tensor) -> Tensor:
    """The end of all of Metrics-Evaluator's CAMs: channels [K,h,w] min-maxed, upsampled, summed, ReLU."""
    low = A - A.flatten(1).min(1).values[:, None, None]
    high = low.flatten(1).max(1).values[:, None, None]
    large = F.interpolate((low / torch.where(high != 0, high, 1e-7))[None], (224, 224), mode="bilinear")[0]
    return (weight[:, None, None] * large).sum(0, keepdim=True).relu()


def evaluator_weight(g: Tensor, g2: Tensor, g3: Tensor, A: Tensor) -> Tensor:
    """Metrics-Evaluator's weights [K] of Grad-CAM++, of tensors [K,h,w]."""
    total = (g3 * A).sum((1, 2), keepdim=True)
    return (g2 / (2 * g2 + torch.where(total != 0, total, 1e-7)) * g.relu()).sum((1, 2))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["full_lite0", "full_vgg16"])
def test_presets_of_metrics_evaluator(
    name: str, full_images: Tensor, parity: Parity, request: pytest.FixtureRequest
) -> None:
    """The harness's arithmetic, one image at a time, with autograd through the whole head; in double precision, as
    rounding moves the weights of Smooth Grad-CAM++ where its denominator is near 0 (a map of VGG16 by up to 0.1)."""
    single: TorchSplit = request.getfixturevalue(name)
    split = in_double(single)
    x = full_images[:1].double()
    forward = forward_to(split, x)

    def gradient(x: Tensor, softmax: bool) -> tuple[Tensor, Tensor]:
        A = split.features(x).detach().requires_grad_()
        logits = split.head(A)
        score = (logits.softmax(1) if softmax else logits)[0, TARGET[0]]
        return A.detach()[0], torch.autograd.grad(score, A)[0][0]

    A, g = gradient(x, softmax=True)
    noisy = [gradient(x + 0.3 * normal(forward, [(0, i)]), softmax=False) for i in range(4)]
    g2, g3 = (torch.stack([g.pow(k) for _, g in noisy]).mean(0) for k in (2, 3))
    weights = {
        "gradcam": (A, g.mean((1, 2))),
        "gradcampp": (A, evaluator_weight(g, g**2, g**3, A)),
        "smoothgradcampp": (noisy[-1][0], evaluator_weight(noisy[-1][1], g2, g3, noisy[-1][0])),
    }
    for method, (activation, weight) in weights.items():
        theirs = evaluator_map(activation, weight)
        found = f"{method}_metrics_evaluator"
        mine = preset(found)(split, forward)
        parity.agrees(found, "Metrics-Evaluator (its arithmetic)", split.name, mine, theirs, 1e-6)
        if method != "gradcam" and name == "full_vgg16":
            plain = upsample(preset(method)(split, forward)[:, None], (224, 224)).squeeze(1)
            why = "softmax gradients, min-maxed A" if method == "gradcampp" else "the last noisy A and g, min-maxed A"
            parity.parts(method, "Metrics-Evaluator (its arithmetic)", split.name, plain, theirs, why, 0.01)


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        (SSCAM, {"n": 0}, "n must be at least 1"),
        (SSCAM, {"noise": "x"}, "noise is 'x'"),
        (ISCAM, {"n": 0}, "n must be at least 1"),
        (RISE, {"p1": 0}, "p1 above 0"),
        (GradCAMpp, {"epsilon": -1}, "at least 0"),
        (GroupCAMv0, {"percentile": 100}, "below 100"),
        (VendoredSmoothGradCAMpp, {"n": 0}, "n must be at least 1"),
    ],
)
def test_bad_options_are_refused(method: type, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        method(**options)


def test_presets_are_found_by_name(middle: TorchSplit, small: Tensor) -> None:
    saliency = camsbench.explain("abscam_refeed", middle, small[:1], TARGET[0])
    assert saliency.shape == (1, 1, SIDE, SIDE)
