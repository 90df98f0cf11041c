"""Methods that send something back through the network: by hand, by identities, and against captum and grad-cam."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from captum import attr as peers
from exact import in_double
from parity import Parity
from pytorch_grad_cam import FullGrad as PeerFullGrad
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

import camsbench
from camsbench import CamsbenchError
from camsbench.core import scoring
from camsbench.core.noise import normal, stream_seeds
from camsbench.core.passes import MicroBatch
from camsbench.core.preprocess import Preprocess
from camsbench.core.saliency import normalise
from camsbench.core.types import Explainer, Forward
from camsbench.methods._pixelwise import input_gradient, weighted_gradient
from camsbench.methods._relevance import RelevanceRules
from camsbench.methods._rules import Rules
from camsbench.methods.deconvolution import Deconvolution
from camsbench.methods.deeplift import DeepLIFT
from camsbench.methods.fullgrad import FullGrad, full_gradient
from camsbench.methods.guided_backprop import GuidedBackprop
from camsbench.methods.integrated_gradients import IntegratedGradients
from camsbench.methods.lrp import LRP
from camsbench.methods.relevancecam import RelevanceCAM
from camsbench.methods.smoothgrad import SmoothGrad
from camsbench.models.split import TorchSplit, cut

TARGET = torch.tensor([243, 559, 438])
C0 = torch.tensor([[1.0, 2], [3, 4]])  # the channels of tiny_x; A0 = C0 and A1 = 2·C1
C1 = torch.tensor([[0.0, 1], [0, 1]])
PIXEL_METHODS = [
    IntegratedGradients(n=3),
    SmoothGrad(n=3),
    Deconvolution(),
    GuidedBackprop(),
    FullGrad(),
    DeepLIFT(),
    LRP(),
    LRP("zplus"),
]


def forward_of(split: TorchSplit, x: Tensor, target: Tensor | int = 0) -> Forward:
    classes = target if isinstance(target, Tensor) else torch.full((len(x),), target)
    return scoring.forward(split, x, classes[: len(x)], stream_seeds(0, [str(i) for i in range(len(x))]))


def check(method: Explainer, split: TorchSplit, x: Tensor, expected: Tensor, target: int = 0) -> None:
    torch.testing.assert_close(method(split, forward_of(split, x, target)), expected[None], rtol=1e-5, atol=1e-6)


def close(got: Tensor, expected: Tensor, atol: float = 1e-4) -> None:
    """Equal once both maps [B,H,W] are min-maxed."""
    assert expected.amax() > expected.amin()
    torch.testing.assert_close(normalise(got)[0], normalise(expected)[0].to(got), rtol=0, atol=atol)


def recut(split: TorchSplit, model: nn.Module, side: int) -> TorchSplit:
    return cut(model, split.layer, replace(split.preprocess, resize=side, crop=side), name=split.name)


def out_of_place(model: nn.Module) -> nn.Module:
    """A copy that captum's hooks can stand."""
    own = copy.deepcopy(model)
    for module in own.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return own


def captum(peer: Any, x: Tensor, target: Tensor, **options: Any) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of each hook it sets
        return peer.attribute(x.clone(), target=target, **options).detach()


@pytest.fixture(scope="module")
def exact(lite0: TorchSplit) -> TorchSplit:
    """EfficientNet-Lite0 in double precision, on small images: no rounding turns a ReLU on or off."""
    return in_double(lite0)


@pytest.fixture(scope="module")
def rectified(lite0: TorchSplit) -> TorchSplit:
    """The same with ReLU in place of ReLU6, which captum does not know."""
    model = copy.deepcopy(lite0.model).double()
    for module in model.modules():
        if isinstance(module, BatchNormAct2d) and isinstance(module.act, nn.ReLU6):
            module.act = nn.ReLU()
    return recut(lite0, model, 96)


@pytest.fixture(scope="module")
def small(full_images: Tensor) -> Tensor:
    return F.interpolate(full_images[:3], (96, 96), mode="area").double()


@pytest.fixture(scope="module")
def small_vgg(vgg16: TorchSplit) -> TorchSplit:
    """VGG16 with biases that are not 0, as random ones of torchvision are."""
    model = out_of_place(vgg16.model)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.data.copy_(0.1 * torch.randn(module.bias.shape, generator=generator))
    return recut(vgg16, model, 64)


@pytest.fixture(scope="module")
def two(full_images: Tensor) -> Tensor:
    return F.interpolate(full_images[:2], (64, 64), mode="area")


# by hand: with target 0 the gradient of tiny's logit is 1/4 on A0 and -1/4 on A1, with target 1 it is 1/8 and 1/2


def test_relevancecam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # means 5/2 and 1: class 0 gives all to a0; class 1 shares -1 as 5/4 : 2. So R = 8/13 and -8/13, over 4 cells
    check(RelevanceCAM(), tiny, tiny_x, 2 / 13 * (C0 - 2 * C1))


def test_relevancecam_with_the_seed_of_the_code(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(RelevanceCAM("code"), tiny, tiny_x, (10.5 / 13 * C0 - 4 / 13 * 2 * C1) / 4)


def test_integrated_gradients(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(IntegratedGradients(), tiny, tiny_x, C0 / 4 + C1 / 2)
    check(IntegratedGradients(reduce="sum"), tiny, tiny_x, C0 / 4 - C1 / 2)
    check(IntegratedGradients(reduce="abs_max"), tiny, tiny_x, torch.maximum(C0 / 4, C1 / 2))


def test_smoothgrad(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(SmoothGrad(sigma=0), tiny, tiny_x, 0.25 + 0.5 * (C1 > 0))


def test_deconvolution_and_guided_backprop(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 0, 0, 0] = -1
    check(Deconvolution("abs_sum"), tiny, tiny_x, torch.full((2, 2), 1 / 4))  # A1's gradient is negative
    check(GuidedBackprop("abs_sum"), tiny, tiny_x, torch.tensor([[0, 1 / 4], [1 / 4, 1 / 4]]))
    check(Deconvolution(), tiny, tiny_x, torch.ones(2, 2), target=1)
    check(GuidedBackprop(), tiny, tiny_x, torch.tensor([[0, 1], [1 / 8, 1]]), target=1)


def test_lrp_and_deeplift(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(LRP(), tiny, tiny_x, C0 / 4 - C1 / 2)
    check(LRP("zplus"), tiny, tiny_x, 1.5 * C0 / 10)  # the logit is 5/2 - 1, and only a0 counts for it
    check(DeepLIFT(), tiny, tiny_x, C0 / 4 - C1 / 2)


class Biased(nn.Module):
    """On 1×2 images: conv c0 + 1, BatchNorm (z − 1)·2 + 1/2 (its implicit bias −3/2), ReLU6, mean, ×2, −1."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1, eps=0), nn.Linear(1, 2)
        self.act, self.pool = nn.ReLU6(inplace=True), nn.AdaptiveAvgPool2d(1)
        values = {"conv.weight": [1.0, 0, 0], "conv.bias": [1.0], "norm.weight": [2.0], "norm.bias": [0.5]}
        values |= {"norm.running_mean": [1.0], "norm.running_var": [1.0], "fc.weight": [2.0, 0], "fc.bias": [-1.0, 0]}
        state = self.state_dict()
        self.load_state_dict({**state, **{k: torch.tensor(v).view(state[k].shape) for k, v in values.items()}})

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.act(self.norm(self.conv(x)))).flatten(1))


@pytest.fixture
def biased() -> TorchSplit:
    preprocess = Preprocess(resize=2, crop=2, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    return cut(Biased().eval().requires_grad_(False), "act", preprocess, name="biased")


def test_full_gradient(biased: TorchSplit) -> None:
    """c0 = 1, −1, 5, 2: BatchNorm's 2.5, −1.5, 10.5, 4.5; ReLU6 passes the first and last, the third gives 6."""
    x = torch.tensor([[1.0, -1], [5, 2]]).expand(1, 3, 2, 2) * torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    image, conv, norm, act, fc = full_gradient(biased, x, torch.tensor([0]))
    on = torch.tensor([[[[1.0, 0], [0, 1]]]])
    torch.testing.assert_close(image[:, :1], x[:, :1] * on)  # 2 (BatchNorm) · 1/4 (mean) · 2 (linear) = 1
    torch.testing.assert_close(conv, 1.0 * on)
    torch.testing.assert_close(norm, -1.5 * 0.5 * on)
    torch.testing.assert_close(act, torch.tensor([[[[0.0, 0], [3, 0]]]]))  # 6 · 1/2
    torch.testing.assert_close(fc, torch.tensor([[-1.0, 0]]))
    # min-maxed magnitudes: [1,0,0,2]/2 + on + on + [0,0,1,0]
    check(FullGrad(), biased, x, torch.tensor([[2.5, 0], [1, 3]]))


# identities


@pytest.mark.slow
@pytest.mark.parametrize("method", PIXEL_METHODS, ids=str)
def test_a_batch_is_exact_in_double_precision(method: Any, exact: TorchSplit, small: Tensor) -> None:
    together = method(exact, forward_of(exact, small, TARGET))
    assert together.shape == (3, 96, 96)
    tight = replace(exact, micro_batch=MicroBatch(2))
    forward = forward_of(exact, small, TARGET)
    scale = together.abs().amax()
    torch.testing.assert_close(method(tight, forward) / scale, together / scale, rtol=0, atol=1e-9)
    alone = method(exact, forward.select([2]))
    torch.testing.assert_close(alone / scale, together[2:] / scale, rtol=0, atol=1e-9)


def test_full_gradients_add_up_to_the_logit(exact: TorchSplit, small: Tensor) -> None:
    """With ReLU6's implicit bias; without it (the authors' code) they do not."""
    forward = forward_of(exact, small, TARGET)
    terms = full_gradient(exact, small, TARGET)
    logit = forward.logits.gather(1, TARGET[:, None]).squeeze(1)
    torch.testing.assert_close(torch.stack([term.flatten(1).sum(1) for term in terms]).sum(0), logit)


def test_deeplift_adds_up_to_the_change_of_the_logit(exact: TorchSplit, small: Tensor) -> None:
    forward = forward_of(exact, small, TARGET)
    with torch.no_grad():
        change = (forward.logits - exact.logits(torch.zeros_like(small))).gather(1, TARGET[:, None]).squeeze(1)
    torch.testing.assert_close(DeepLIFT()(exact, forward).sum((1, 2)), change, rtol=1e-6, atol=1e-6)


def test_integrated_gradients_nears_the_change_of_the_logit(exact: TorchSplit, small: Tensor) -> None:
    forward = forward_of(exact, small[:1], TARGET)
    with torch.no_grad():
        change = (forward.logits - exact.logits(torch.zeros_like(small[:1])))[0, TARGET[0]]
    total = IntegratedGradients(n=16, reduce="sum")(exact, forward).sum()
    assert (total - change).abs() < 0.2 * change.abs()  # ReLU6 makes the path rough: 16 points are few


def test_lrp_without_biases_is_gradient_times_input(small: Tensor) -> None:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, bias=False), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 6, bias=False)).double().eval()
    preprocess = Preprocess(resize=96, crop=96, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    split = cut(model, "4", preprocess)
    target = torch.tensor([1, 4, 2])
    gradient = input_gradient(split, small, target)
    got = LRP().relevance(split, forward_of(split, small, target))
    torch.testing.assert_close(got, small * gradient, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "layer", "lost"),
    [("resnet18", "layer2", 1e-3), ("torchvision/mobilenet_v3_small", "features.4", 0.1)],
)
def test_zplus_conserves_relevance(name: str, layer: str, lost: float, images: Tensor) -> None:
    """Through skip connections, BatchNorm and gates; some ends where nothing positive reaches a pool (hardswish)."""
    split = camsbench.load_model(name, "random", layer, device="cpu")
    with torch.no_grad():
        A = split.features(images[:2])
    A.requires_grad_()
    with RelevanceRules("zplus"):
        logits = split.head(A)
    torch.testing.assert_close(logits, split.head(A))
    (relevance,) = torch.autograd.grad(logits, A, F.one_hot(TARGET[:2], 1000).float())
    torch.testing.assert_close(relevance.sum((1, 2, 3)), torch.ones(2), rtol=0, atol=lost)


def test_relevancecam_of_a_residual_block_equals_the_formula() -> None:
    """Two 1×1 convolutions beside a skip, BatchNorm between, all rules written out with matrices."""
    torch.manual_seed(0)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.first, self.second = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.Conv2d(5, 4, 1)
            self.norm, self.relu, self.fc = nn.BatchNorm2d(5), nn.ReLU(inplace=True), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            A = self.relu(self.stem(x))
            out = self.second(self.relu(self.norm(self.first(A))))
            out += A
            return self.fc(F.relu(out, inplace=True).mean((2, 3)))

    model = Block().double().eval().requires_grad_(False)
    preprocess = Preprocess(resize=3, crop=3, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    split = cut(model, "stem", preprocess)
    x = torch.randn(2, 3, 3, 3).double()
    forward = forward_of(split, x, torch.tensor([2, 0]))

    def back(R: Tensor, z: Tensor, W: Tensor) -> Tensor:
        """R [N,O] to [N,I] by z⁺: z [N,I], W [O,I]."""
        part = (z[:, None] * W).clamp(min=0)  # [N,O,I]
        return (R[:, :, None] * part / part.sum(2, keepdim=True).clamp(min=1e-30)).sum(1)

    expected = []
    for A, target in zip(forward.A, (2, 0), strict=True):
        a = A.relu().flatten(1).T  # [9,4] cells by channels
        hidden = model.norm(model.first(A.relu()[None])).relu()
        branch = model.second(hidden)[0].flatten(1).T
        total = (branch + a).relu()
        pooled = total.mean(0, keepdim=True)
        seed = torch.full((1, 3), -0.5, dtype=torch.double)
        seed[0, target] = 1
        R = back(seed, pooled, model.fc.weight) * total / total.sum(0).clamp(min=1e-30)
        skip, through = R * a / (a + branch), R * branch / (a + branch)
        through = back(
            back(through, hidden[0].flatten(1).T, model.second.weight[:, :, 0, 0]), a, model.first.weight[:, :, 0, 0]
        )
        expected.append(((skip + through).mean(0)[:, None, None] * A).sum(0))
    torch.testing.assert_close(RelevanceCAM()(split, forward), torch.stack(expected))


def test_relevancecam_parts_from_the_code_s_seed(vgg16: TorchSplit, images: Tensor) -> None:
    forward = forward_of(vgg16, images[:1], TARGET)
    paper, code = (normalise(RelevanceCAM(seed)(vgg16, forward))[0] for seed in ("paper", "code"))
    assert (paper - code).abs().amax() > 0.1


def test_relevance_refuses_what_it_has_no_rule_for(images: Tensor) -> None:
    split = camsbench.load_model("timm/convnext_atto", "random", device="cpu")
    with pytest.raises(CamsbenchError, match=r"no rule for .*layer_norm"):
        LRP()(split, forward_of(split, images[:1]))


def test_rules_see_functions_that_work_in_place() -> None:
    """And what reads the overwritten tensor afterwards reads it overwritten."""
    x = torch.tensor([-1.0, 2, 7], requires_grad=True)
    calls: list[str] = []

    def noted(function: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        calls.append(function.__name__)
        return function(x, *args, **kwargs) * 10

    with Rules({F.relu: noted, torch.relu: noted, Tensor.relu: noted, F.hardtanh: noted, F.relu6: noted}):
        results = []
        for act in (nn.ReLU(inplace=True), nn.ReLU6(inplace=True), torch.relu_, Tensor.relu_, F.relu6, nn.ReLU6()):
            z = x * 1
            results.append(act(z) + z)
    assert calls == ["relu", "hardtanh", "relu", "relu", "relu6", "hardtanh"]
    relu, relu6 = torch.tensor([0.0, 20, 70]), torch.tensor([0.0, 20, 60])
    for got, expected in zip(results, [2 * relu, 2 * relu6, 2 * relu, 2 * relu, relu6 + x, relu6 + x], strict=True):
        assert torch.equal(got, expected)
        assert got.requires_grad


def test_noise_of_a_copy_is_its_own(exact: TorchSplit, small: Tensor) -> None:
    forward = forward_of(exact, small, TARGET)
    noise = normal(forward, [(0, 0), (0, 1), (1, 1), (1, 0)])
    assert torch.equal(noise[1:2], normal(forward.select([0]), [(0, 1)]))
    assert len({float(copy.sum()) for copy in noise}) == 4
    assert noise.std() == pytest.approx(1, abs=0.01)


def test_smoothgrad_equals_the_plain_loop(exact: TorchSplit, small: Tensor) -> None:
    forward = forward_of(exact, small[:1], TARGET)
    deviation = 0.2 * (small[0].max() - small[0].min())
    total = torch.zeros(1, 3, 96, 96).double()
    for n in range(3):
        noisy = (small[:1] + deviation * normal(forward, [(0, n)])).requires_grad_()
        exact.model(noisy)[0, TARGET[0]].backward()
        assert noisy.grad is not None
        total += noisy.grad / 3
    got = SmoothGrad(n=3, sigma=0.2)(exact, forward)
    torch.testing.assert_close(got, total.abs().sum(1))


def test_options_are_checked() -> None:
    for make in (IntegratedGradients, SmoothGrad, Deconvolution, GuidedBackprop, DeepLIFT, LRP):
        with pytest.raises(ValueError, match="reduce is 'mean': it must be one of abs_sum"):
            make(reduce="mean")
    for refused in (lambda: IntegratedGradients(n=0), lambda: SmoothGrad(n=0), lambda: SmoothGrad(sigma=-1)):
        with pytest.raises(ValueError, match="must be at least"):
            refused()
    with pytest.raises(ValueError, match="seed is 'none'"):
        RelevanceCAM("none")
    with pytest.raises(ValueError, match="rescale is 'none'"):
        FullGrad("none")
    with pytest.raises(ValueError, match="rule is 'gamma'"):
        LRP("gamma")
    with pytest.raises(ValueError, match="above 0"):
        LRP(epsilon=0)


# peers


@pytest.mark.parity
def test_integrated_gradients_equals_captum(exact: TorchSplit, small: Tensor, parity: Parity) -> None:
    theirs = captum(peers.IntegratedGradients(exact.model), small[:2], TARGET[:2], n_steps=4)
    mine = IntegratedGradients(n=4)(exact, forward_of(exact, small[:2], TARGET))
    parity.agrees(
        "integrated_gradients", "captum", exact.name, mine, theirs.abs().sum(1), why="sum of absolute colours"
    )


@pytest.mark.parity
def test_integrated_gradients_equals_captum_on_vgg(small_vgg: TorchSplit, two: Tensor, parity: Parity) -> None:
    theirs = captum(peers.IntegratedGradients(small_vgg.model), two, TARGET[:2], n_steps=4)
    mine = IntegratedGradients(n=4)(small_vgg, forward_of(small_vgg, two, TARGET))
    parity.agrees(
        "integrated_gradients", "captum", small_vgg.name, mine, theirs.abs().sum(1), why="sum of absolute colours"
    )


@pytest.mark.parity
def test_smoothgrad_on_captum_s_noise_equals_captum(exact: TorchSplit, small: Tensor, parity: Parity) -> None:
    """captum draws its noise from the global stream, for all copies at once: so draw the same and hand it in."""
    x, n, sigma = small[:2], 3, 0.3
    torch.manual_seed(5)
    theirs = captum(
        peers.NoiseTunnel(peers.Saliency(exact.model)), x, TARGET[:2], nt_samples=n, stdevs=sigma, abs=False
    )
    torch.manual_seed(5)
    noise = torch.normal(0, torch.full((2 * n, 3, 96, 96), sigma)).unflatten(0, (2, n))

    def copies(image: Sequence[int], copy: Sequence[int]) -> Tensor:
        return x[image] + noise[image, copy]

    mine = weighted_gradient(exact, forward_of(exact, x, TARGET), copies, torch.full((n,), 1 / n).double())
    parity.agrees("smoothgrad", "captum", exact.name, mine.abs().sum(1), theirs.abs().sum(1), why="on its noise")


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "method", "peer"),
    [
        ("deconvolution", Deconvolution(), peers.Deconvolution),
        ("guided_backprop", GuidedBackprop(), peers.GuidedBackprop),
    ],
)
def test_modified_relu_equals_captum(
    name: str,
    method: Explainer,
    peer: Any,
    rectified: TorchSplit,
    small: Tensor,
    small_vgg: TorchSplit,
    two: Tensor,
    parity: Parity,
) -> None:
    theirs = captum(peer(copy.deepcopy(rectified.model)), small, TARGET)
    why = "max of absolute colours, ReLU for ReLU6"
    mine = method(rectified, forward_of(rectified, small, TARGET))
    parity.agrees(
        name,
        "captum",
        rectified.name,
        mine,
        theirs.abs().amax(1),
        why=why,
    )
    theirs = captum(peer(copy.deepcopy(small_vgg.model)), two, TARGET[:2])
    mine = method(small_vgg, forward_of(small_vgg, two, TARGET))
    parity.agrees(
        name,
        "captum",
        small_vgg.name,
        mine,
        theirs.abs().amax(1),
        why="max of absolute colours",
    )


@pytest.mark.parity
def test_guided_backprop_parts_from_captum_on_relu6(exact: TorchSplit, small: Tensor, parity: Parity) -> None:
    """captum's is the plain gradient there."""
    theirs = captum(peers.GuidedBackprop(copy.deepcopy(exact.model)), small, TARGET)
    close(theirs.abs().amax(1), input_gradient(exact, small, TARGET).abs().amax(1))
    mine = GuidedBackprop()(exact, forward_of(exact, small, TARGET))
    why = "leaves ReLU6 its plain gradient"
    parity.parts("guided_backprop", "captum", exact.name, mine, theirs.abs().amax(1), why, 0.1)


class Patterned(nn.Module):
    """A network behind a fixed pattern, so that its pass of a zero image has no ties in its max pools."""

    pattern: Tensor

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("pattern", torch.randn(3, side, side, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x + self.pattern)


@pytest.mark.parity
def test_deeplift_equals_captum(rectified: TorchSplit, small: Tensor, parity: Parity) -> None:
    theirs = captum(peers.DeepLift(copy.deepcopy(rectified.model)), small, TARGET)
    mine = DeepLIFT()(rectified, forward_of(rectified, small, TARGET))
    parity.agrees("deeplift", "captum", rectified.name, mine, theirs.sum(1), why="Σ colours, ReLU for ReLU6")


@pytest.mark.parity
def test_deeplift_equals_captum_but_for_a_pool_behind_a_relu(
    small_vgg: TorchSplit, two: Tensor, parity: Parity
) -> None:
    """captum 0.9's ReLU takes the gradient from before the rule of the pool right behind it."""
    model = Patterned(copy.deepcopy(small_vgg.model), 64).eval()
    split = cut(model, "network.features.29", small_vgg.preprocess)
    forward = forward_of(split, two, TARGET)
    with torch.no_grad():
        change = (forward.logits - split.logits(torch.zeros_like(two))).gather(1, TARGET[:2, None]).squeeze(1)
    mine, theirs = DeepLIFT()(split, forward), captum(peers.DeepLift(copy.deepcopy(model)), two, TARGET[:2]).sum(1)
    torch.testing.assert_close(mine.sum((1, 2)), change, rtol=1e-3, atol=1e-5)
    assert (theirs.sum((1, 2)) - change).abs().amax() > 0.01 * change.abs().amax()
    why = "loses the max-pool rule right behind a ReLU, and so does not add up"
    parity.parts("deeplift", "captum", small_vgg.name, mine, theirs, why)
    features = model.network.get_submodule("features")
    for name, layer in list(features.named_children()):
        if isinstance(layer, nn.MaxPool2d):
            setattr(features, name, nn.Sequential(nn.AvgPool2d(1), layer))  # the same network, its hooks apart
    theirs = captum(peers.DeepLift(model), two, TARGET[:2]).sum(1)
    parity.agrees("deeplift", "captum", small_vgg.name, mine, theirs, why="with pool and ReLU set apart")


def test_deeplift_of_a_max_pool_by_hand(tiny_x: Tensor) -> None:
    """Logit 0 is the maximum of c0 plus that of −c1: 4 for the last pixel, and 0 where the maximum of −c1 stays."""
    conv = nn.Conv2d(3, 2, 1, bias=False)
    conv.weight.data.copy_(torch.tensor([[1.0, 0, 0], [0, -1, 0]]).view(2, 3, 1, 1))
    fc = nn.Linear(2, 2, bias=False)
    fc.weight.data.copy_(torch.tensor([[1.0, 1], [0, 1]]))
    model = nn.Sequential(conv, nn.MaxPool2d(2), nn.Flatten(), fc).eval().requires_grad_(False)
    preprocess = Preprocess(resize=2, crop=2, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    split = cut(model, "0", preprocess)
    check(DeepLIFT(), split, tiny_x, torch.tensor([[0.0, 0], [0, 4]]))
    # the maximum of −c1 falls from 0 to −1: the baseline's winner, tied, is the image's
    tiny_x[0, 1] += 1
    check(DeepLIFT(), split, tiny_x, torch.tensor([[-1.0, 0], [0, 4]]))


@pytest.mark.parity
def test_lrp_equals_captum(small_vgg: TorchSplit, two: Tensor, parity: Parity) -> None:
    theirs = captum(peers.LRP(copy.deepcopy(small_vgg.model)), two, TARGET[:2])
    mine = LRP()(small_vgg, forward_of(small_vgg, two, TARGET))
    parity.agrees("lrp", "captum", small_vgg.name, mine, theirs.sum(1), why="ε rule, Σ colours")


@pytest.mark.parity
def test_fullgrad_equals_grad_cam(full_images: Tensor, parity: Parity) -> None:
    """grad-cam adds 1e-7 to each channel's range: with logits in the thousands that is nothing."""
    split = camsbench.load_model("resnet18", "random", device="cpu")
    model, generator = copy.deepcopy(split.model), torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias.data):
                assert values is not None
                values.copy_(0.1 * torch.randn(values.shape, generator=generator))
    model.fc.weight.data *= 1e4  # type: ignore[union-attr, operator]
    split = recut(split, model, 64)
    x = F.interpolate(full_images[:2], (64, 64), mode="area")
    with PeerFullGrad(model=copy.deepcopy(model).requires_grad_(), target_layers=[]) as peer:
        theirs = torch.from_numpy(peer(x.clone(), [ClassifierOutputTarget(int(t)) for t in TARGET[:2]]))
    mine = FullGrad("channel")(split, forward_of(split, x, TARGET))
    parity.agrees("fullgrad", "grad-cam", split.name, mine, theirs, why="with rescale=channel")
