"""CAM and the methods that weigh a layer's activations: on paper, by identity, and against torchcam and grad-cam.

For the image of ``tiny_x`` (see ``conftest.Tiny``): A0 = [[1,2],[3,4]], A1 = [[0,2],[0,2]], and with target 0 the
gradient of the logit is 1/4 on A0 and −1/4 on A1.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import pytorch_grad_cam as pgc
import torch
import torch.nn.functional as F
import torchcam.methods as torchcam
from parity import Parity
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget
from sklearn.decomposition import KernelPCA
from torch import Tensor, nn

from camsbench import CamsbenchError
from camsbench.core import scoring
from camsbench.core.noise import stream_seeds
from camsbench.core.preprocess import Preprocess
from camsbench.core.saliency import normalise
from camsbench.core.types import Explainer, Forward
from camsbench.methods import _components as components
from camsbench.methods import kpcacam
from camsbench.methods._components import first_component, signed
from camsbench.methods.ablationcam import AblationCAM
from camsbench.methods.cam import CAM
from camsbench.methods.eigencam import EigenCAM
from camsbench.methods.eigengradcam import EigenGradCAM
from camsbench.methods.fakecam import FakeCAM
from camsbench.methods.fem import FEM
from camsbench.methods.finercam import FinerCAM
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.gradcam_elementwise import GradCAMElementWise
from camsbench.methods.hirescam import HiResCAM
from camsbench.methods.kpcacam import KPCACAM
from camsbench.methods.layercam import LayerCAM
from camsbench.methods.randomcam import RandomCAM
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.methods.shapleycam import ShapleyCAM
from camsbench.methods.xgradcam import XGradCAM
from camsbench.models.split import TorchSplit, cut

A0 = torch.tensor([[1.0, 2], [3, 4]])
A1 = torch.tensor([[0.0, 2], [0, 2]])
TARGET = [243, 559]
PREPROCESS = Preprocess(resize=2, crop=2, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)


def forward_of(split: TorchSplit, x: Tensor, target: list[int] | None = None) -> Forward:
    classes = torch.tensor(target if target is not None else [0] * len(x))
    return scoring.forward(split, x, classes, stream_seeds(0, [str(i) for i in range(len(x))]))


def check(method: Explainer, split: TorchSplit, x: Tensor, expected: Any) -> None:
    got = method(split, forward_of(split, x))
    torch.testing.assert_close(got, torch.as_tensor(expected)[None], rtol=1e-5, atol=1e-6)


class Weighted(nn.Module):
    """A0 = c0, A1 = 2·c1 with no ReLU behind, and a weight for each cell: ∂y_0/∂A0 = [[1,.5],[0,2]], ∂y_0/∂A1 =
    [[0,−1],[0,0]]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.fc = nn.Linear(8, 2, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 2, 0]]).view(2, 3, 1, 1))
            self.fc.weight.copy_(torch.tensor([[1, 0.5, 0, 2, 0, -1, 0, 0], [0.0] * 8]))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).flatten(1))


class Pooled(nn.Module):
    """A convolution, an average pool, and ``head`` of the means."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.relu = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.relu(self.conv(x)))).flatten(1)


def small(model: nn.Module, layer: str, side: int = 2) -> TorchSplit:
    preprocess = replace(PREPROCESS, resize=side, crop=side)
    return cut(model.eval().requires_grad_(False), layer, preprocess, name="small")


@pytest.fixture
def weighted() -> TorchSplit:
    return small(Weighted(), "conv")


# --- on paper ---


def test_cam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(CAM(), tiny, tiny_x, [[1.0, 0], [3, 2]])  # weights 1 and −1


def test_cam_is_cut_at_zero(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] *= 3
    check(CAM(), tiny, tiny_x, [[1.0, 0], [3, 0]])


def test_xgradcam(weighted: TorchSplit, tiny_x: Tensor) -> None:
    # w0 = (1·1 + .5·2 + 2·4)/10 = 1, w1 = −1·2/4
    check(XGradCAM(), weighted, tiny_x, A0 - 0.5 * A1)


def test_xgradcam_gives_an_empty_channel_no_weight(weighted: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] = 0
    check(XGradCAM(), weighted, tiny_x, A0)


def test_hirescam(weighted: TorchSplit, tiny_x: Tensor) -> None:
    check(HiResCAM(), weighted, tiny_x, [[1.0, 0], [0, 8]])  # .5·2 − 1·2 is cut


def test_layercam(weighted: TorchSplit, tiny_x: Tensor) -> None:
    check(LayerCAM(), weighted, tiny_x, [[1.0, 1], [0, 8]])


def test_gradcam_elementwise(weighted: TorchSplit, tiny_x: Tensor) -> None:
    check(GradCAMElementWise(), weighted, tiny_x, [[1.0, 1], [0, 8]])


def test_gradcam_elementwise_counts_negative_activations_that_speak_for_the_class(
    weighted: TorchSplit, tiny_x: Tensor
) -> None:
    tiny_x[0, 1] *= -1  # A1 = [[0,−2],[0,−2]]: −1·−2 = 2 more; LayerCAM's weight is 0 there
    check(GradCAMElementWise(), weighted, tiny_x, [[1.0, 3], [0, 8]])
    check(LayerCAM(), weighted, tiny_x, [[1.0, 1], [0, 8]])


# The centred cells have the scatter matrix [[5,2],[2,4]] and so the first eigenvector (4, √17 − 1).
ROOT = math.sqrt(17) - 1
NORM = math.sqrt(16 + ROOT**2)
COMPONENT = torch.tensor([[-6 - ROOT, -2 + ROOT], [2 - ROOT, 6 + ROOT]]) / NORM


def test_eigencam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    assert COMPONENT.flatten().tolist() == pytest.approx([-1.797754, 0.221333, -0.221333, 1.797754], abs=1e-4)
    check(EigenCAM(), tiny, tiny_x, COMPONENT.relu())  # the sums 1, 4, 3, 6 grow with it


def test_eigengradcam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # (A0/4, −A1/4) has the same component, a quarter of it; the evidence (1, 0, 3, 2)/4 grows with it
    check(EigenGradCAM(), tiny, tiny_x, COMPONENT.relu() / 4)


def test_the_sign_of_a_component_follows_the_sum_over_channels() -> None:
    torch.testing.assert_close(first_component(torch.stack([A0, A1])[None])[0], COMPONENT, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first_component(-torch.stack([A0, A1])[None])[0], -COMPONENT, rtol=1e-5, atol=1e-6)
    # a map bright but for one dark cell: the dark cell is the largest entry, and yet negative
    dark = torch.ones(1, 4, 3, 3)
    dark[:, :, 1, 1] = 0
    component = first_component(dark)[0]
    assert component[1, 1] < 0 < component[0, 0] < component[1, 1].abs()


def test_kpcacam(tiny: TorchSplit) -> None:
    """Two cells (1,0) and (3,2): centred ∓(1,1), γ = 1/2, so the kernel is tanh 2 with itself and tanh 0 = 0 across;
    centred it is tanh(2)/2·[[1,−1],[−1,1]], whose eigenvalue is tanh 2."""
    x = torch.tensor([[[[1.0, 3]], [[0, 1]], [[0, 0]]]])
    check(KPCACAM(), tiny, x, [[0, math.sqrt(math.tanh(2) / 2)]])
    check(KPCACAM("rbf", 0.1), tiny, x, [[0, math.sqrt((1 - math.exp(-0.1 * 8)) / 2)]])
    check(KPCACAM("poly"), tiny, x, [[0, math.sqrt((2**3 - 0**3) / 2)]])


def test_kpcacam_with_a_linear_kernel_is_eigencam(lite0: TorchSplit, images: Tensor) -> None:
    forward = forward_of(lite0, images[:2])
    got, expected = KPCACAM("linear")(lite0, forward), EigenCAM()(lite0, forward)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", [EigenCAM(), KPCACAM(), EigenGradCAM()])
def test_activations_that_are_not_finite_spoil_no_other_image(
    method: Explainer, tiny: TorchSplit, tiny_x: Tensor
) -> None:
    x = tiny_x.repeat(2, 1, 1, 1)
    x[0, 0, 0, 0] = torch.nan
    got = method(tiny, forward_of(tiny, x))
    assert torch.equal(got[0], torch.zeros(2, 2))
    torch.testing.assert_close(got[1:], method(tiny, forward_of(tiny, tiny_x)))


def test_shapleycam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Of the means a = (2.5, 1): y_0 + log p_0 with margin d = v·a, v = (.5, −3), has the gradient (1,−1) + (1−p)v and
    the Hessian −p(1−p)vvᵀ."""
    v, d = torch.tensor([0.5, -3]), -1.75
    p = 1 / (1 + math.exp(-d))
    w = (torch.tensor([1.0, -1]) + (1 - p) * v + 0.5 * p * (1 - p) * d * v) / 4
    check(ShapleyCAM(), tiny, tiny_x, (w[0] * A0 + w[1] * A1).relu())
    assert (w[0] * A0 + w[1] * A1).amax() > 0


def test_finercam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # the one other class: y_0 − y_1/2 has the weights (1 − 1/4, −1 − 1)/4
    check(FinerCAM(gamma=0.5), tiny, tiny_x, (0.75 / 4 * A0 - 2 / 4 * A1).relu())


def test_finercam_compares_with_the_nearest_logits(lite0: TorchSplit, images: Tensor) -> None:
    forward = forward_of(lite0, images[:2], TARGET)
    similar = FinerCAM(classes=5).similar_classes(forward)
    for i, target in enumerate(TARGET):
        distance = (forward.logits[i] - forward.logits[i, target]).abs()
        assert similar[i].tolist() == distance.argsort()[1:6].tolist()


def test_fem(tiny: TorchSplit, tiny_x: Tensor) -> None:
    # above 2.5 + .56 lies one cell of A0, above 1 + .5 two of A1
    check(FEM(k=0.5), tiny, tiny_x, A0 / 4 + A1 / 2)
    check(FEM(k=0.5, form="binary"), tiny, tiny_x, [[0, 1], [0, 2.5 + 1]])


def test_ablationcam(tiny: TorchSplit, tiny_x: Tensor) -> None:
    check(AblationCAM(), tiny, tiny_x, 5 / 3 * A0 - 2 / 3 * A1)  # y = 1.5, without A0 −1, without A1 2.5


def test_ablationcam_turns_its_sign_for_a_negative_logit(tiny: TorchSplit, tiny_x: Tensor) -> None:
    tiny_x[0, 1] *= 3  # y = −.5, without A0 −3, without A1 2.5
    check(AblationCAM(), tiny, tiny_x, (-5 * A0 + 6 * 3 * A1).relu())


def test_fakecam(tiny: TorchSplit, lite0: TorchSplit, images: Tensor) -> None:
    got = FakeCAM()(lite0, forward_of(lite0, images[:2]))
    assert got.shape == (2, 96, 96)
    assert got[:, 0, 0].tolist() == [0, 0]
    assert got.sum((1, 2)).tolist() == [96 * 96 - 1] * 2


def test_randomcam_is_uniform_and_the_image_s_own(lite0: TorchSplit, images: Tensor) -> None:
    forward = replace(forward_of(lite0, images[:3]), seeds=stream_seeds(5, ["a", "b", "a"]))
    got = RandomCAM()(lite0, forward)
    assert got.shape == (3, 3, 3)
    assert torch.equal(got[0], got[2])
    assert not torch.equal(got[0], got[1])
    assert torch.equal(RandomCAM()(lite0, forward.select([1]))[0], got[1])
    many = RandomCAM()(lite0, replace(forward, seeds=stream_seeds(0, map(str, range(1200)))))
    assert 0 <= many.amin() < 0.01
    assert 0.99 < many.amax() < 1
    assert many.mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        (KPCACAM, {"kernel": "cosine"}, "kernel is 'cosine': it must be one of"),
        (KPCACAM, {"gamma": 0.0}, "gamma is 0.0: it must be above 0"),
        (ShapleyCAM, {"score": "softmax"}, "score is 'softmax': it must be one of"),
        (FinerCAM, {"classes": 0}, "classes must be at least 1"),
        (FinerCAM, {"gamma": -1.0}, "gamma at least 0"),
        (FinerCAM, {"weights": "max"}, "weights is 'max': it must be one of"),
        (FEM, {"k": -1.0}, "k is -1.0: it must be at least 0"),
        (FEM, {"form": "soft"}, "form is 'soft': it must be one of"),
    ],
)
def test_wrong_options_are_refused(method: type, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        method(**options)


# --- the head that CAM needs ---


def test_cam_reads_the_classifier_s_weights(lite0: TorchSplit, images: Tensor) -> None:
    forward = forward_of(lite0, images[:2], TARGET)
    weight = lite0.model.get_parameter("classifier.weight")[forward.target]
    expected = torch.einsum("bk,bkhw->bhw", weight, forward.A).relu()
    torch.testing.assert_close(CAM()(lite0, forward), expected, rtol=1e-5, atol=1e-5)


def test_cam_reads_a_1x1_convolution_and_folds_a_normalisation_in() -> None:
    torch.manual_seed(0)
    norm, linear = nn.BatchNorm1d(8), nn.Linear(8, 5)
    for tensor in (norm.running_mean, norm.weight, norm.bias):
        assert tensor is not None
        nn.init.normal_(tensor)
    assert norm.running_var is not None
    x = torch.randn(2, 3, 4, 4)
    split = small(Pooled(nn.Sequential(nn.Flatten(), norm, linear)), "relu", side=4)
    forward = forward_of(split, x, [3, 1])
    weight = (linear.weight * norm.weight / (norm.running_var + norm.eps).sqrt())[[3, 1]]
    torch.testing.assert_close(CAM()(split, forward), torch.einsum("bk,bkhw->bhw", weight, forward.A).relu())
    conv = nn.Conv2d(8, 5, 1)
    split = small(Pooled(conv), "relu", side=4)
    forward = forward_of(split, x, [3, 1])
    weight = conv.weight[[3, 1], :, 0, 0]
    torch.testing.assert_close(CAM()(split, forward), torch.einsum("bk,bkhw->bhw", weight, forward.A).relu())


def test_cam_refuses_another_head(vgg16: TorchSplit, images: Tensor) -> None:
    with pytest.raises(CamsbenchError, match=r"vgg16 at layer 'features.29' has another head: use method=gradcam"):
        CAM()(vgg16, forward_of(vgg16, images[:1]))


@pytest.mark.parametrize("bias", [True, False])
def test_cam_refuses_two_linear_layers(bias: bool) -> None:
    """Without biases such a head equals its own linearisation at every A, and its gradient is the same in every cell:
    only another point gives it away."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(8, 16, bias=bias), nn.ReLU(), nn.Linear(16, 4, bias=bias))
    split = small(Pooled(layers), "relu", side=4)
    with pytest.raises(CamsbenchError, match="another head"):
        CAM()(split, forward_of(split, torch.randn(2, 3, 4, 4)))


# --- identities ---


def test_behind_an_average_pool_and_a_linear_layer_five_methods_are_one(lite0: TorchSplit, images: Tensor) -> None:
    """Grad-CAM, XGrad-CAM and HiResCAM are CAM/(hw); ReciproCAM on logits is CAM before its ReLU, but for the bias."""
    forward = forward_of(lite0, images[:2], TARGET)
    cam = CAM()(lite0, forward)
    assert (cam.amax((1, 2)) > 1).all()
    for method in (GradCAM(), XGradCAM(), HiResCAM(), ShapleyCAM("logit"), FinerCAM(gamma=0)):
        torch.testing.assert_close(method(lite0, forward) * 9, cam, rtol=1e-4, atol=1e-4, msg=str(method))
    bias = lite0.model.get_parameter("classifier.bias")[forward.target][:, None, None]
    reciprocam = ReciproCAM(score="logit")(lite0, forward)
    torch.testing.assert_close(((reciprocam - bias) * 9).relu(), cam, rtol=1e-4, atol=1e-4)


def test_where_no_activation_is_negative_elementwise_is_layercam(vgg16: TorchSplit, images: Tensor) -> None:
    forward = forward_of(vgg16, images[:1], TARGET[:1])
    layercam = LayerCAM()(vgg16, forward)
    assert layercam.amax() > 0
    torch.testing.assert_close(GradCAMElementWise()(vgg16, forward), layercam, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("target", [243, 0])
def test_ablationcam_of_an_average_pooled_head_has_a_closed_form(
    target: int, lite0: TorchSplit, images: Tensor
) -> None:
    """w_k = w_k^c mean(A_k)/y, for a logit above 0 and one below."""
    forward = forward_of(lite0, images[:1], [target])
    y = forward.logits[:, target, None]
    weight = lite0.model.get_parameter("classifier.weight")[forward.target] * forward.A.mean((2, 3)) / y
    expected = torch.einsum("bk,bkhw->bhw", weight, forward.A).relu()
    got = AblationCAM()(lite0, forward)
    torch.testing.assert_close(got / expected.amax(), expected / expected.amax(), rtol=0, atol=1e-4)


def test_components_do_not_depend_on_the_target(lite0: TorchSplit, images: Tensor) -> None:
    one, other = (forward_of(lite0, images[:1], [target]) for target in TARGET)
    for method in (EigenCAM(), KPCACAM(), FEM()):
        assert torch.equal(method(lite0, one), method(lite0, other))
    assert not torch.allclose(EigenGradCAM()(lite0, one), EigenGradCAM()(lite0, other))


# --- other people's implementations ---


@pytest.fixture(params=["full_lite0", "full_vgg16"])
def network(request: pytest.FixtureRequest, full_images: Tensor) -> tuple[TorchSplit, str, Forward]:
    """A network, its layer for the peers' hooks, and the pass of two images, or one of VGG16, which is slow."""
    split: TorchSplit = request.getfixturevalue(request.param)
    layer, n = {"full_lite0": ("bn2", 2), "full_vgg16": ("features.29", 1)}[request.param]
    return split, layer, forward_of(split, full_images[:n], TARGET[:n])


def by_torchcam(kind: Any, split: TorchSplit, layer: str, x: Tensor, **options: Any) -> Tensor:
    """torchcam's raw maps."""
    maps = []
    for i, target in enumerate(TARGET[: len(x)]):
        with kind(split.model, layer, **options) as extractor:
            scores = split.model(x[i : i + 1].clone().requires_grad_())
            maps.append(extractor(target, scores, normalized=False)[0][0].detach())
    return torch.stack(maps)


def by_grad_cam(kind: Any, split: TorchSplit, layer: str, x: Tensor, targets: Any = None, **options: Any) -> Tensor:
    """grad-cam's maps: cut at 0, min-maxed, scaled to the image, min-maxed."""
    targets = targets or [ClassifierOutputTarget(target) for target in TARGET[: len(x)]]
    with kind(model=split.model, target_layers=[split.model.get_submodule(layer)], **options) as peer:
        return torch.from_numpy(peer(x.clone().requires_grad_(), targets))


def as_grad_cam_scales(raw: Tensor) -> Tensor:
    unit = normalise(raw.relu()[:, None])[0]
    return normalise(F.interpolate(unit, (224, 224), mode="bilinear", align_corners=False))[0].squeeze(1)


def as_theirs(raw: Tensor, theirs: Tensor) -> Tensor:
    """Ours [B,h,w] at the size of theirs, which are no empty maps."""
    assert (theirs.amax((1, 2)) > theirs.amin((1, 2))).all()
    return as_grad_cam_scales(raw) if theirs.shape[-1] == 224 else raw


@pytest.mark.parity
def test_cam_equals_torchcam_but_for_the_relu(full_lite0: TorchSplit, full_images: Tensor, parity: Parity) -> None:
    theirs = by_torchcam(torchcam.CAM, full_lite0, "bn2", full_images[:2], fc_layer="classifier")
    assert theirs.amin() < 0
    mine = CAM()(full_lite0, forward_of(full_lite0, full_images[:2], TARGET))
    parity.agrees(
        "cam", "torchcam", full_lite0.name, mine, theirs.relu(), why="after a ReLU, which torchcam leaves out"
    )


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "method", "kind", "why"),
    [
        ("xgradcam", XGradCAM(), torchcam.XGradCAM, ""),
        ("layercam", LayerCAM(), torchcam.LayerCAM, ""),
        ("finercam", FinerCAM(gamma=0.6, weights="mean"), torchcam.FinerCAM, "with gamma=0.6 weights=mean"),
    ],
)
def test_equal_to_torchcam(
    name: str, method: Explainer, kind: Any, why: str, network: tuple[TorchSplit, str, Forward], parity: Parity
) -> None:
    split, layer, forward = network
    theirs = by_torchcam(kind, split, layer, forward.x)
    parity.agrees(name, "torchcam", split.name, as_theirs(method(split, forward), theirs), theirs, why=why)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "method", "kind"),
    [
        ("xgradcam", XGradCAM(), pgc.XGradCAM),
        ("layercam", LayerCAM(), pgc.LayerCAM),
        ("hirescam", HiResCAM(), pgc.HiResCAM),
        ("gradcam_elementwise", GradCAMElementWise(), pgc.GradCAMElementWise),
        ("fem", FEM(), pgc.FEM),
    ],
)
def test_equal_to_grad_cam(
    name: str, method: Explainer, kind: Any, network: tuple[TorchSplit, str, Forward], parity: Parity
) -> None:
    split, layer, forward = network
    theirs = by_grad_cam(kind, split, layer, forward.x)
    parity.agrees(name, "grad-cam", split.name, as_theirs(method(split, forward), theirs), theirs)


@pytest.mark.parity
def test_shapleycam_equals_grad_cam(network: tuple[TorchSplit, str, Forward], parity: Parity) -> None:
    split, layer, forward = network
    targets = [ClassifierOutputReST(target) for target in TARGET[: len(forward.x)]]
    theirs = by_grad_cam(pgc.ShapleyCAM, split, layer, forward.x, targets)
    mine = as_theirs(ShapleyCAM()(split, forward), theirs)
    parity.agrees("shapleycam", "grad-cam", split.name, mine, theirs, why="on ClassifierOutputReST")


def test_shapleycam_on_logits_is_gradcam_behind_a_piecewise_linear_head(vgg16: TorchSplit, images: Tensor) -> None:
    forward = forward_of(vgg16, images[:1], TARGET[:1])
    expected = GradCAM()(vgg16, forward)
    assert expected.amax() > 0
    torch.testing.assert_close(ShapleyCAM("logit")(vgg16, forward), expected, rtol=1e-5, atol=1e-9)


def test_shapleycam_on_logits_of_a_linear_head_works_here_and_not_in_grad_cam(
    lite0: TorchSplit, images: Tensor
) -> None:
    forward = forward_of(lite0, images[:1], TARGET[:1])
    assert ShapleyCAM("logit")(lite0, forward).amax() > 0
    with pytest.raises(RuntimeError, match="does not require grad"):
        by_grad_cam(pgc.ShapleyCAM, lite0, "bn2", images[:1])


def test_shapleycam_s_curvature_counts(lite0: TorchSplit, images: Tensor) -> None:
    forward = forward_of(lite0, images[:2], TARGET)
    assert (normalise(ShapleyCAM()(lite0, forward))[0] - normalise(GradCAM()(lite0, forward))[0]).abs().amax() > 1e-3


@pytest.mark.parity
def test_finercam_equals_grad_cam(network: tuple[TorchSplit, str, Forward], parity: Parity) -> None:
    split, layer, forward = network
    with pgc.FinerCAM(model=split.model, target_layers=[split.model.get_submodule(layer)]) as peer:
        maps = [peer(x[None].clone().requires_grad_(), target_idx=TARGET[i]) for i, x in enumerate(forward.x)]
    theirs = torch.cat([torch.from_numpy(one) for one in maps])
    parity.agrees("finercam", "grad-cam", split.name, as_theirs(FinerCAM()(split, forward), theirs), theirs)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("name", "method", "kind"),
    [
        ("eigencam", EigenCAM(), pgc.EigenCAM),
        ("eigengradcam", EigenGradCAM(), pgc.EigenGradCAM),
        ("kpcacam", KPCACAM(), pgc.KPCA_CAM),
    ],
)
def test_components_equal_grad_cam_s_but_for_the_sign(
    name: str,
    method: Explainer,
    kind: Any,
    network: tuple[TorchSplit, str, Forward],
    monkeypatch: pytest.MonkeyPatch,
    parity: Parity,
) -> None:
    """Their sign is NumPy's or scikit-learn's: each of their maps is ours, or ours had its sign rule been turned.

    grad-cam calls scikit-learn in single precision, where VGG16's random activations make the sigmoid nearly flat.
    """
    split, layer, forward = network
    mine = as_grad_cam_scales(method(split, forward))
    for module in (components, kpcacam):
        monkeypatch.setattr(module, "signed", lambda component, cells: -signed(component, cells))
    turned = as_grad_cam_scales(method(split, forward))
    theirs = by_grad_cam(kind, split, layer, forward.x)
    same, other = ((maps - theirs).abs().amax((1, 2)) for maps in (mine, turned))
    assert (torch.maximum(same, other) > 0.1).all()
    nearer = torch.where((same < other)[:, None, None], mine, turned)
    flat = (kind, layer) == (pgc.KPCA_CAM, "features.29")
    parity.agrees(name, "grad-cam", split.name, nearer, theirs, 1e-3 if flat else 1e-4, "up to the sign")


@pytest.mark.parametrize("kernel", ["sigmoid", "rbf", "poly", "linear"])
@pytest.mark.parametrize("name", ["lite0", "vgg16"])
def test_kpcacam_equals_scikit_learn_in_double_precision(
    kernel: str, name: str, images: Tensor, request: pytest.FixtureRequest
) -> None:
    split: TorchSplit = request.getfixturevalue(name)
    forward = forward_of(split, images[:1], TARGET[:1])
    cells = components.centred_cells(forward.A[:1])
    theirs = torch.from_numpy(KernelPCA(1, kernel=kernel, degree=3).fit_transform(cells[0].numpy()))
    expected = signed(theirs.T, cells).view(1, *forward.A.shape[2:]).relu().float()
    torch.testing.assert_close(KPCACAM(kernel)(split, forward.select([0])), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("method", [EigenCAM(), EigenGradCAM(), KPCACAM()])
def test_on_a_trained_network_the_sign_shows_what_gradcam_shows(
    method: Explainer, lite0: TorchSplit, images: Tensor
) -> None:
    """Not always, but for most images: the other sign would show the background."""
    forward = scoring.forward(lite0, images, None, (0,) * len(images))
    mine, gradcam = (m(lite0, forward).flatten(1) for m in (method, GradCAM()))
    correlation = torch.stack([torch.corrcoef(pair)[0, 1] for pair in torch.stack([mine, gradcam], 1)])
    assert correlation.median() > 0.5


class Bounded(Pooled):
    """Its head sees tanh of the activations, so that a fill of −1e7 is not a fill of 0."""

    def __init__(self) -> None:
        super().__init__(nn.Sequential(nn.Flatten(), nn.Linear(8, 600)))
        self.relu = nn.Tanh()  # type: ignore[assignment]


@pytest.mark.parity
def test_ablationcam_equals_grad_cam(parity: Parity) -> None:
    """On a small network, for grad-cam runs the whole of it once a channel; its least activation is 0."""
    torch.manual_seed(0)
    split = small(Pooled(nn.Sequential(nn.Flatten(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 600))), "relu", side=7)
    x = torch.randn(2, 3, 7, 7)
    forward = forward_of(split, x, TARGET)
    assert (forward.A.amin((1, 2, 3)) == 0).all()
    theirs = by_grad_cam(pgc.AblationCAM, split, "relu", x)
    assert theirs.amax() > 0.99
    parity.agrees("ablationcam", "grad-cam", "a small network", AblationCAM()(split, forward), theirs, why="min(A) = 0")


@pytest.mark.parity
def test_ablationcam_parts_from_grad_cam_where_no_activation_is_zero(parity: Parity) -> None:
    torch.manual_seed(0)
    split = small(Bounded(), "conv", side=7)
    x = torch.randn(2, 3, 7, 7)
    mine = AblationCAM()(split, forward_of(split, x, TARGET))
    theirs = by_grad_cam(pgc.AblationCAM, split, "conv", x)
    parity.parts(
        "ablationcam", "grad-cam", "a small network", mine, theirs, "fills min − 1e7 where min(A) is not 0", 0.1
    )
