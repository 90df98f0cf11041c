"""Meaningful, extremal and generative perturbation: by hand, and against plain loops over one image."""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from captum.attr import Occlusion
from parity import Parity
from scipy import ndimage
from torch import Tensor, nn

from camsbench import CamsbenchError
from camsbench.core import scoring
from camsbench.core.noise import stream_seeds
from camsbench.core.passes import MicroBatch
from camsbench.core.saliency import upsample
from camsbench.core.targets import SoftmaxClass
from camsbench.core.types import Forward
from camsbench.methods._blur import gaussian_blur
from camsbench.methods.extremal_perturbation import ExtremalPerturbation, SmoothMasks, blend
from camsbench.methods.generative_perturbation import GenerativePerturbation, windows
from camsbench.methods.inpaint import TeleaInpainter
from camsbench.methods.meaningful_perturbation import MeaningfulPerturbation, offsets, shifted, total_variation
from camsbench.models.split import TorchSplit, cut

SIDE = 64


@pytest.fixture(scope="module")
def small(lite0: TorchSplit) -> TorchSplit:
    """EfficientNet-Lite0 on 64x64 images."""
    return cut(lite0.model, "bn2", replace(lite0.preprocess, resize=SIDE, crop=SIDE), micro_batch=MicroBatch(2))


@pytest.fixture(scope="module")
def pictures(full_images: Tensor) -> Tensor:
    return F.interpolate(full_images[:3], (SIDE, SIDE), mode="area")


@pytest.fixture(scope="module")
def exact(lite0: TorchSplit) -> TorchSplit:
    """The same in double precision: single precision's rounding grows tenfold a step where the mask meets a kink."""
    model = copy.deepcopy(lite0.model).double()
    return cut(model, "bn2", replace(lite0.preprocess, resize=SIDE, crop=SIDE), micro_batch=MicroBatch(2))


def forward_of(split: TorchSplit, x: Tensor, target: list[int] | None = None) -> Forward:
    classes = torch.tensor(target if target is not None else [0] * len(x))
    return scoring.forward(split, x, classes, stream_seeds(0, map(str, range(len(x)))))


def scipy_blur(x: Tensor, sigma: float) -> Tensor:
    """Images [3,H,W], zeros outside."""
    if sigma == 0:
        return x
    radius = math.ceil(4 * sigma)
    blurred = [ndimage.gaussian_filter(c.double().numpy(), sigma, mode="constant", radius=radius) for c in x]
    return torch.from_numpy(np.stack(blurred)).to(x.dtype)


@pytest.mark.parametrize("sigma", [0, 1.3, 20.0])
def test_blur_is_scipy_s(sigma: float, pictures: Tensor) -> None:
    x = pictures[0]
    torch.testing.assert_close(gaussian_blur(x, sigma, inside=False), scipy_blur(x, sigma), rtol=1e-4, atol=1e-5)
    averaged = scipy_blur(x, sigma) / scipy_blur(torch.ones_like(x), sigma)
    torch.testing.assert_close(gaussian_blur(x, sigma), averaged, rtol=1e-4, atol=1e-5)


# Meaningful perturbation


def test_meaningful_perturbation(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Adam's first step is rate·sign: a wide blur gives each cell the mean (2.5, 0.5), and the logits' margin
    a0/2 − 3·a1 changes by ((2.5 − c0)/2 − 6(0.5 − c1))/4 = 3/16, 13/16, −1/16, 9/16, without the second term in the
    left column, where the ReLU of c1 = 0 passes no gradient. The one cell whose blur lowers it goes."""
    method = MeaningfulPerturbation(cells=2, steps=1, blur=1e4, smooth=0, jitter=0)
    got = method(tiny, forward_of(tiny, tiny_x))
    torch.testing.assert_close(got[0], torch.tensor([[0, 0], [0.1, 0]]), rtol=1e-4, atol=1e-6)


def test_total_variation() -> None:
    mask = torch.tensor([[0.0, 1], [2, 2]]).view(1, 1, 2, 2)
    assert total_variation(mask, 3).tolist() == [1 + 0 + 8 + 1]


def test_offsets_are_the_image_s_own(tiny: TorchSplit, tiny_x: Tensor) -> None:
    forward = forward_of(tiny, tiny_x.expand(3, -1, -1, -1).clone())
    moves = offsets(forward, 50, 4)
    assert moves.shape == (3, 50, 2)
    assert set(moves.flatten().tolist()) == {0, 1, 2, 3}
    assert not torch.equal(moves[0], moves[1])
    assert torch.equal(offsets(forward.select([1]), 50, 4)[0], moves[1])


def test_shifted_repeats_the_border() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3).expand(2, 3, -1, -1)
    up, left = shifted(image, torch.tensor([[1, 0], [0, 2]]))[:, 0].tolist()
    assert up == [[3, 4, 5], [6, 7, 8], [6, 7, 8]]
    assert left == [[2, 2, 2], [5, 5, 5], [8, 8, 8]]


def plain_meaningful(
    split: TorchSplit, x: Tensor, target: int, method: MeaningfulPerturbation, moves: Tensor
) -> Tensor:
    """Fong and Vedaldi's loop for one image [1,3,H,W], on the mask m itself."""
    blurred = scipy_blur(x[0], method.blur) / scipy_blur(torch.ones_like(x[0]), method.blur)
    reach = math.ceil(4 * method.smooth)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).to(x) / method.smooth) ** 2)
    kernel = torch.outer(line, line)[None, None]
    inside = F.conv2d(torch.ones(1, 1, *x.shape[2:]).to(x), kernel, padding=reach)
    m = torch.ones(1, 1, method.cells, method.cells, dtype=x.dtype, requires_grad=True)
    adam = torch.optim.Adam([m], lr=method.rate)
    for dy, dx in moves.tolist():
        shown = F.interpolate(m, x.shape[2:], mode="bilinear", align_corners=False)
        shown = F.conv2d(shown, kernel, padding=reach) / inside
        image, null = (F.pad(v, (0, dx, 0, dy), mode="replicate")[:, :, dy:, dx:] for v in (x, blurred[None]))
        p = split.logits(shown * image + (1 - shown) * null).softmax(1)[0, target]
        tv = (m[:, :, 1:] - m[:, :, :-1]).abs().pow(3).sum() + (m[..., 1:] - m[..., :-1]).abs().pow(3).sum()
        loss = method.l1 * (1 - m).abs().sum() + method.tv * tv + p
        adam.zero_grad()
        loss.backward()
        adam.step()
        m.data.clamp_(0, 1)
    return (1 - m.detach())[0, 0]


def test_meaningful_perturbation_equals_the_plain_loop(exact: TorchSplit, pictures: Tensor) -> None:
    x = pictures[:2].double()
    targets = exact.logits(x).argmax(1).tolist()
    forward = forward_of(exact, x, targets)
    method = MeaningfulPerturbation(cells=8, steps=5, smooth=3.0, l1=1e-3)
    got = method(exact, forward)
    moves = offsets(forward, method.steps, method.jitter)
    for i, target in enumerate(targets):
        expected = plain_meaningful(exact, x[i : i + 1], target, method, moves[i])
        assert expected.max() > 0.1
        torch.testing.assert_close(got[i], expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_meaningful_perturbation_removes_the_class_with_little(full_lite0: TorchSplit, full_images: Tensor) -> None:
    forward = forward_of(full_lite0, full_images[:1], [243])
    removed = MeaningfulPerturbation(steps=12)(full_lite0, forward)[:, None]
    part = gaussian_blur(upsample(removed, (224, 224)), 5)
    blurred = gaussian_blur(full_images[:1], 10)
    after = full_lite0.logits(full_images[:1] + part * (blurred - full_images[:1])).softmax(1)[0, 243]
    assert removed.mean() < 0.35
    assert after < 0.3 * forward.probability[0]


# Extremal perturbation


def test_smooth_masks() -> None:
    """One cell of value 1: where a bump b is the only value above 0 of T² = 25, the smooth maximum is
    b·e^20b/(e^20b + 24); its own place is 1, and b = e^(−2(d/σ − 1/2)²) beyond σ/2."""
    masks = SmoothMasks((8, 8), step=4, sigma=4.0)
    assert masks.cells == (2, 2)
    parameters = torch.zeros(1, 1, 2, 2)
    parameters[0, 0, 0, 1] = 1
    whole = masks(parameters)
    mask = masks.crop(whole)[0, 0]
    assert mask.shape == (8, 8)
    assert whole.shape == (1, 13, 13)
    for (row, column), distance in {(0, 4): 0, (2, 4): 2, (0, 7): 3, (4, 4): 4, (3, 0): 5}.items():
        bump = math.exp(-2 * max(distance / 4 - 0.5, 0) ** 2)
        expected = bump * math.exp(20 * bump) / (math.exp(20 * bump) + 24)
        assert float(mask[row, column]) == pytest.approx(expected, abs=1e-6)


def test_excess_area() -> None:
    mask = torch.tensor([[[0.5, 1], [0, 0.25]]])
    assert ExtremalPerturbation(area=0.25)._excess(mask).tolist() == [(0.0625 + 0.25) / 4]


def test_blend() -> None:
    pyramid = torch.tensor([0.0, 10, 30]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 1, 4)
    mask = torch.tensor([0, 0.25, 0.75, 1]).view(1, 1, 1, 4)
    assert blend(pyramid, mask)[0, 0, 0].tolist() == [0, 5, 20, 30]


def test_rewards() -> None:
    logits, target = torch.tensor([[3.0, 1, 2]]), torch.tensor([0])
    assert ExtremalPerturbation()._reward(SoftmaxClass(), logits, target).tolist() == [3]
    assert ExtremalPerturbation(reward="contrastive")._reward(SoftmaxClass(), logits, target).tolist() == [1]


def plain_extremal(split: TorchSplit, x: Tensor, target: int, method: ExtremalPerturbation) -> Tensor:
    """TorchRay's procedure for one image [1,3,H,W], the mask cell by cell. Equal values are sorted by place."""
    step, sigma, levels = method.step, method.sigma, method.levels
    side = x.shape[2]
    pad, taps = 1 + math.ceil(2 * sigma / step), 2 * (1 + math.ceil(sigma / step)) + 1
    cells = math.ceil(side / step)
    out = step * (cells + 2 * pad - taps + 1) - step + 1
    u = torch.arange(out)
    places = u[:, None] // step + torch.arange(taps) - pad  # [out,taps]: the cells near each pixel
    apart = (u[:, None] - (sigma + step * places)).to(x)
    distance = (apart[:, None, :, None] ** 2 + apart[None, :, None, :] ** 2).sqrt()  # [out,out,taps,taps]
    bump = torch.exp(-2 * (distance / sigma - 0.5).clamp(min=0) ** 2).flatten(2)
    pyramid = torch.stack([scipy_blur(x[0], method.blur * (1 - k / (levels - 1))) for k in range(levels)])
    ideal = (torch.arange(out * out) >= int(out * out * (1 - method.area))).to(x)

    def mask_of(parameters: Tensor) -> Tensor:
        around = F.pad(parameters, (pad,) * 4)
        near = around[places[:, None, :, None] + pad, places[None, :, None, :] + pad].flatten(2)
        value = near * bump
        return (value * (20 * value).softmax(2)).sum(2).clamp(0, 1)

    margin = round(sigma)
    parameters, velocity, shown = torch.ones(cells, cells).to(x), None, torch.zeros(())
    for t in range(method.steps):
        parameters.requires_grad_()
        mask = mask_of(parameters)
        shown = mask[margin : margin + side, margin : margin + side]
        place = shown * (levels - 1)
        hats = [(1 - (place - level).abs()).clamp(min=0) * pyramid[level] for level in range(levels)]
        image = torch.stack(hats).sum(0)[None]
        logit = split.logits(image.flip(3) if t % 2 == 0 else image)[0, target]
        excess = (mask.flatten().sort(stable=True).values - ideal).square().mean()
        energy = logit - method.weight * method.growth**t * excess
        (gradient,) = torch.autograd.grad(-energy, parameters)
        velocity = gradient if velocity is None else method.momentum * (velocity - gradient) + gradient
        parameters = (parameters - method.rate * velocity).detach().clamp(0, 1)
    return shown.detach()


def test_extremal_perturbation_equals_the_plain_loop(exact: TorchSplit, pictures: Tensor) -> None:
    x = pictures.double()
    targets = [243, 559]
    method = ExtremalPerturbation(steps=5)
    got = method(exact, forward_of(exact, x[:2], targets))
    for i, target in enumerate(targets):
        expected = plain_extremal(exact, x[i : i + 1], target, method)
        assert expected.max() - expected.min() > 0.1
        torch.testing.assert_close(got[i], expected, rtol=0, atol=1e-6)


class LastFirst(ExtremalPerturbation):
    """Equal values of the mask sorted the other way round."""

    def _excess(self, mask: Tensor) -> Tensor:
        return super()._excess(mask.flatten(1).flip(1))


@pytest.mark.parity
def test_extremal_perturbation_is_torchray_s_but_for_the_order_of_ties(
    exact: TorchSplit, pictures: Tensor, parity: Parity
) -> None:
    """In double precision, 40 steps agree where no values are equal at the border of the ideal area (0.1), and 20 part
    where two are (0.25). TorchRay's own sort is unstable: it is one order or the other."""
    x, target, network = pictures[:1].double(), 243, "tf_efficientnet_lite0, double"
    forward = forward_of(exact, x, [target])
    method = ExtremalPerturbation(steps=40)
    mine, plain = method(exact, forward), plain_extremal(exact, x, target, method)[None]
    assert mine.dtype == torch.float64
    assert plain.max() - plain.min() > 0.3
    torch.testing.assert_close(mine, plain, rtol=0, atol=1e-9)
    why = "40 steps, equal values of the mask sorted by place"
    parity.agrees("extremal_perturbation", "TorchRay's loop", network, mine, plain, 1e-9, why)
    first, last = (kind(steps=20, area=0.25)(exact, forward) for kind in (ExtremalPerturbation, LastFirst))
    why = "20 steps, equal values sorted the other way round: TorchRay's sort is unstable"
    parity.parts("extremal_perturbation", "TorchRay's loop", network, first, last, why, 0.01)


def test_extremal_perturbation_nears_its_area_and_keeps_the_class(small: TorchSplit, pictures: Tensor) -> None:
    forward = forward_of(small, pictures[:1], [243])
    method = ExtremalPerturbation(steps=60, rate=0.05)
    mask = method(small, forward)
    sigmas = [20 * (1 - level / 7) for level in range(8)]
    pyramid = torch.stack([gaussian_blur(pictures[:1], sigma, inside=False) for sigma in sigmas], dim=1)
    kept, mirrored = (small.logits(blend(pyramid, m[:, None])).softmax(1)[0, 243] for m in (mask, mask.flip(1)))
    assert mask.mean() < 0.6
    assert kept > 2 * mirrored


# Generative perturbation


@dataclass(frozen=True)
class Flat:
    """An inpainter that fills with one value in [0,1]."""

    value: float

    def __call__(self, images: Tensor, hole: Tensor) -> Tensor:
        return torch.full_like(images, self.value)


def probability(a0: float, a1: float) -> float:
    """p_0 of the tiny network from the means of A0 and A1."""
    return 1 / (1 + math.exp(-(a0 / 2 - 3 * a1)))


def test_generative_perturbation(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Grey is 0 in the tiny network's input: a removed cell takes A0 and A1 of that cell away."""
    method = GenerativePerturbation(patch=1, stride=1, inpainter=Flat(0.5))
    p = probability(2.5, 1)
    drops = [p - probability((10 - A0) / 4, (4 - A1) / 4) for A0, A1 in ((1, 0), (2, 2), (3, 0), (4, 2))]
    got = method(tiny, forward_of(tiny, tiny_x))
    torch.testing.assert_close(got[0], torch.tensor(drops).view(2, 2), rtol=1e-5, atol=1e-6)
    whole = replace(method, patch=2, stride=2)(tiny, forward_of(tiny, tiny_x))
    torch.testing.assert_close(whole[0], torch.full((2, 2), p - 0.5), rtol=1e-5, atol=1e-6)


def test_windows_cover_every_pixel() -> None:
    assert windows(5, 2, 2, torch.zeros(1)).tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]
    assert windows(2, 29, 3, torch.zeros(1)).tolist() == [[1, 1]]


@pytest.mark.parity
def test_generative_perturbation_with_a_flat_fill_is_captum_s_occlusion(
    full_lite0: TorchSplit, full_images: Tensor, parity: Parity
) -> None:
    grey = full_lite0.preprocess.mean[0]  # 0 in the network's input
    method = GenerativePerturbation(patch=112, stride=56, inpainter=Flat(grey))
    got = method(full_lite0, forward_of(full_lite0, full_images[:2], [243, 559]))
    peer = Occlusion(nn.Sequential(full_lite0.model, nn.Softmax(1)))
    expected = peer.attribute(full_images[:2], (3, 112, 112), strides=(3, 56, 56), target=torch.tensor([243, 559]))
    why = "Occlusion, with a flat fill"
    parity.agrees("generative_perturbation", "captum", full_lite0.name, got, expected[:, 0], why=why)


def picture(lite0: TorchSplit, x: Tensor) -> np.ndarray:
    """Normalised [3,H,W] as OpenCV has it, uint8 [H,W,3]."""
    mean, std = (torch.tensor(list(v)).view(3, 1, 1) for v in (lite0.preprocess.mean, lite0.preprocess.std))
    return ((x * std + mean) * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def test_telea_of_a_crop_is_telea_of_the_image(full_lite0: TorchSplit, full_images: Tensor) -> None:
    whole = np.stack([picture(full_lite0, x) for x in full_images[:3]])
    hole = torch.zeros(3, 1, 224, 224)
    hole[0, :, 0:29, 0:29] = 1  # a corner, an edge, the inside
    hole[1, :, 100:129, 195:224] = 1
    hole[2, :, 90:119, 60:89] = 1
    given = torch.from_numpy(whole).permute(0, 3, 1, 2).float() / 255
    got = (TeleaInpainter(3)(given, hole) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    for i in range(3):
        expected = cv2.inpaint(whole[i], hole[i, 0].byte().numpy(), 3, cv2.INPAINT_TELEA)
        np.testing.assert_array_equal(got[i], expected)
        assert (expected != whole[i]).mean() > 0.005
    assert torch.equal(TeleaInpainter()(given, torch.zeros_like(hole)), given)


def test_generative_perturbation_equals_the_plain_loop(lite0: TorchSplit, images: Tensor) -> None:
    x = images[:1]
    got = GenerativePerturbation(patch=40, stride=30)(lite0, forward_of(lite0, x, [243]))[0]
    p = lite0.logits(x).softmax(1)[0, 243]
    total, count = torch.zeros(96, 96), torch.zeros(96, 96)
    image = picture(lite0, x[0])
    for top in (0, 30, 56):
        for left in (0, 30, 56):
            hole = np.zeros((96, 96), np.uint8)
            hole[top : top + 40, left : left + 40] = 1
            filled = torch.from_numpy(cv2.inpaint(image, hole, 3, cv2.INPAINT_TELEA)).permute(2, 0, 1)[None]
            where = torch.from_numpy(hole) > 0
            copy = torch.where(where, lite0.preprocess.normalise(filled), x)
            total[where] += p - lite0.logits(copy).softmax(1)[0, 243]
            count[where] += 1
    torch.testing.assert_close(got, total / count, rtol=0, atol=1e-5)


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CamsbenchError, match=r"camsbench\[inpaint\]"):
        TeleaInpainter()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: MeaningfulPerturbation(steps=0), "steps at least 1"),
        (lambda: MeaningfulPerturbation(beta=0.5), "beta at least 1"),
        (lambda: MeaningfulPerturbation(blur=0), "blur must be above 0"),
        (lambda: ExtremalPerturbation(area=1), "between 0 and 1"),
        (lambda: ExtremalPerturbation(levels=1), "levels must be at least 2"),
        (lambda: ExtremalPerturbation(momentum=1), "below 1"),
        (lambda: ExtremalPerturbation(reward="best"), "simple, contrastive"),
        (lambda: GenerativePerturbation(patch=2, stride=3), "at most patch"),
        (lambda: TeleaInpainter(radius=0), "at least 1"),
    ],
)
def test_bad_options_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
