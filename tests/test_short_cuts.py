"""Every exact short cut against the plain loop, on real networks and real images, and the passes that it saves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from exact import EXACT, in_double
from torch import Tensor, nn

from camsbench import cut
from camsbench.core import scoring
from camsbench.core.heads import linear_head
from camsbench.core.passes import MicroBatch, count_passes
from camsbench.core.types import Explainer, Forward
from camsbench.methods._channelwise import alike, has_range
from camsbench.methods.ablationcam import AblationCAM
from camsbench.methods.cam import CAM
from camsbench.methods.iscam import ISCAM
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.methods.scorecam import ScoreCAM
from camsbench.models.split import TorchSplit

RECIPROCAMS = [ReciproCAM(mask, score) for mask in ("cell", "gaussian") for score in ("softmax", "logit")]


@pytest.fixture(scope="module")
def biased(vgg16: TorchSplit) -> Iterator[TorchSplit]:
    """VGG16 whose linear layers have biases, as trained ones do."""
    generator = torch.Generator().manual_seed(1)
    with pytest.MonkeyPatch.context() as patch:
        for layer in (module for module in vgg16.model.modules() if isinstance(module, nn.Linear)):
            bias = torch.randn(layer.out_features, generator=generator) / 10
            patch.setitem(layer._parameters, "bias", nn.Parameter(bias, requires_grad=False))
        yield vgg16


@pytest.fixture(scope="module", params=["features.28", "features.29", "features.30"])
def flattened(request: pytest.FixtureRequest, biased: TorchSplit) -> TorchSplit:
    """VGG16 for images of 96 pixels, before its last ReLU, behind it, and behind its last pool, two of which its
    average pool repeats."""
    return cut(biased.model, request.param, replace(biased.preprocess, resize=96, crop=96), name="vgg16")


def other_class(split: TorchSplit, images: Tensor, side: int = 96) -> Forward:
    """The pass of images for classes that the network does not predict; activations scaled until logits differ."""
    x = nn.functional.interpolate(images, (side, side), mode="area")
    target = torch.randint(1000, (len(x),), generator=torch.Generator().manual_seed(7))
    base = scoring.forward(split, x, target, (0,) * len(x))
    A = base.A * (3 / base.logits.std())
    return replace(base, A=A, logits=split.head(A))


def differs(got: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of each map's range."""
    span = expected.amax((1, 2)) - expected.amin((1, 2))
    return float(((got - expected).abs().amax((1, 2)) / span).max())


def both_ways(method: Explainer, split: TorchSplit, base: Forward) -> tuple[float, int, int, int]:
    """How far the short cut is off, its passes of the head and of the head's tail, and the plain loop's of the head."""
    with count_passes(split) as quick:
        got = method(split, base)
    with count_passes(split) as every:
        expected = method(split.plain, base)
    return differs(got, expected), quick.head, quick.tail, every.head


@pytest.mark.parametrize("network", ["lite0", "resnet18"])
@pytest.mark.parametrize("method", RECIPROCAMS, ids=str)
def test_reciprocam_behind_an_average_pool_needs_no_pass(
    method: Explainer, network: str, images: Tensor, request: pytest.FixtureRequest
) -> None:
    split = request.getfixturevalue(network)
    off, head, tail, every = both_ways(method, split, other_class(split, images[:2]))
    assert off < 1e-5
    assert (head, tail, every) == (0, 0, 2 * 9)


@pytest.mark.parametrize("method", RECIPROCAMS, ids=str)
def test_reciprocam_before_a_flattened_head_passes_its_tail_alone(
    method: Explainer, flattened: TorchSplit, images: Tensor
) -> None:
    base = other_class(flattened, images[:2], 96)
    cells = base.A[0, 0].numel()
    off, head, tail, every = both_ways(method, flattened, base)
    assert off < 1e-5
    assert (head, tail, every) == (0, 2 * cells, 2 * cells)


@pytest.mark.slow
def test_reciprocam_on_vgg16_as_published(biased: TorchSplit, full_images: Tensor) -> None:
    off, head, tail, every = both_ways(ReciproCAM(), biased, other_class(biased, full_images[:1], 224))
    assert off < 1e-5
    assert (head, tail, every) == (0, 196, 196)


def test_where_the_closed_form_does_not_hold_the_head_is_passed(biased: TorchSplit, images: Tensor) -> None:
    """A max pool would put the zeros around a cell before its negative activation."""
    split = cut(biased.model, "features.29", replace(biased.preprocess, resize=64, crop=64), name="vgg16")
    base = other_class(split, images[:1], 64)
    for case, forward in ((split, replace(base, A=base.A - 0.1)), (split.with_options(repack=False), base)):
        off, head, tail, _ = both_ways(ReciproCAM(), case, forward)
        assert off == 0
        assert (head, tail) == (16, 0)


@pytest.mark.parametrize("network", ["lite0", "resnet18"])
def test_ablationcam_behind_an_average_pool_needs_no_pass(
    network: str, images: Tensor, request: pytest.FixtureRequest
) -> None:
    split = in_double(request.getfixturevalue(network))  # the weights are differences of nearly equal logits
    base = other_class(split, images[:2].double())
    off, head, tail, every = both_ways(AblationCAM(), split, base)
    assert off < EXACT
    assert (head, tail, every) == (0, 0, 2 * base.A.shape[1])


def test_ablationcam_before_a_flattened_head_passes_its_tail_alone(flattened: TorchSplit, images: Tensor) -> None:
    base = other_class(flattened, images[:2], 96)
    A = base.A.clone()
    A[0, 40:], A[1, :500] = 0, 0  # channels that cost nothing
    base = replace(base, A=A, logits=flattened.head(A))
    alive = (A != 0).any(3).any(2)
    got = {}
    for size in (1, 16):
        split = replace(flattened, micro_batch=MicroBatch(size))
        with count_passes(split) as passes:
            got[size] = AblationCAM()(split, base)
        assert (passes.head, passes.tail) == (0, int(alive.sum()))
    y = base.logits.gather(1, base.target[:, None])
    weight = torch.zeros(alive.shape)
    with torch.no_grad():
        for image, channel in alive.nonzero().tolist():
            without = A[image].clone()
            without[channel] = 0
            y_k = flattened.head(without[None])[0, base.target[image]]
            weight[image, channel] = (y[image, 0] - y_k) / y[image, 0]
    expected = (weight[..., None, None] * A).sum(1).relu()
    assert differs(got[1], expected) < 1e-4
    assert differs(got[16], expected) < 1e-4


@pytest.mark.parametrize("network", ["lite0", "resnet18"])
def test_cam_needs_no_pass(network: str, full_images: Tensor, request: pytest.FixtureRequest) -> None:
    split = request.getfixturevalue(network)
    off, head, _, every = both_ways(CAM(), split, other_class(split, full_images[:2], 224))  # at 96 a map is 0
    assert off < 1e-5
    assert (head, every) == (0, 4)


def test_closed_forms_follow_a_weight_that_changes(biased: TorchSplit, images: Tensor) -> None:
    split = cut(biased.model, "features.29", replace(biased.preprocess, resize=64, crop=64), name="vgg16")
    base = other_class(split, images[:1], 64)
    before = ReciproCAM()(split, base)
    head = linear_head(split)
    assert head is not None
    weight = head.linear.weight
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(head.linear._parameters, "weight", nn.Parameter(weight.flip(0), requires_grad=False))
        off, passes, _, _ = both_ways(ReciproCAM(), split, base)
        assert (off < 1e-5, passes) == (True, 0)
        assert differs(ReciproCAM()(split, base), before) > 1e-2
    assert torch.equal(ReciproCAM()(split, base), before)


def test_channels_that_mask_alike_are_scored_once(lite0: TorchSplit, images: Tensor) -> None:
    """240 channels of 12x12 behind a ReLU6, some of which are made others' multiples."""
    split = cut(lite0.model, "blocks.3.0.bn2", replace(lite0.preprocess, resize=96, crop=96), name="lite0")
    base = scoring.forward(split, nn.functional.interpolate(images[:2], (96, 96)), None, (0, 1))
    A = base.A[:, :40].clone()
    A[0, 7], A[0, 30], A[1, 4] = 4 * A[0, 3], 0.5 * A[0, 3], A[1, 39]  # exact in binary
    A[1, 39, 0, 0] += 1e-3  # nearly alike is not alike
    base = replace(base, A=A)
    first = alike(A)
    assert (first[0, [7, 30]] == first[0, 3]).all()
    assert first[1, 4] != first[1, 39]
    own = first == torch.arange(40)
    for method, copies in ((ScoreCAM(), 1), (ISCAM(n=2), 2)):
        with count_passes(split) as quick:
            got = method(split, base)
        with count_passes(split) as every:
            expected = method(split.plain, base)
        assert differs(got, expected) < 1e-4
        assert quick.forward == copies * int((own & has_range(A)).sum()) < copies * int(has_range(A).sum()) - 1
        assert every.forward == copies * 80


def test_real_images_have_channels_that_mask_alike(lite0: TorchSplit, images: Tensor) -> None:
    base = scoring.forward(lite0, images, None, (0,) * 5)
    varying = has_range(base.A)
    own = varying & (alike(base.A) == torch.arange(1280))
    share = 1 - own.sum() / varying.sum()
    assert 0.05 < share < 0.2
