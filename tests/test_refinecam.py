"""RefineCAM on paper, the layers that it takes, and against grad-cam's and torchcam's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import pytorch_grad_cam as pgc
import timm
import torch
import torchcam.methods as torchcam
from exact import EXACT, in_double
from parity import Parity
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_methods
from camsbench.core import scoring
from camsbench.core.passes import Passes, count_passes
from camsbench.core.preprocess import Preprocess
from camsbench.core.saliency import SaliencyRule, upsample
from camsbench.core.types import Forward
from camsbench.methods._applies import noise
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.gradcampp import GradCAMpp
from camsbench.methods.layercam import LayerCAM
from camsbench.methods.occlusion import Occlusion
from camsbench.methods.refinecam import OfGradient, RefineCAM
from camsbench.models.randomise import randomised
from camsbench.models.split import TorchSplit, cut


def prepared(side: int | tuple[int, int]) -> Preprocess:
    return Preprocess(resize=side, crop=side, interpolation="bilinear", mean=[0.5] * 3, std=[0.25] * 3)


class TwoSizes(nn.Module):
    """A map of c0 and of twice c1, a ReLU in place, halved by an average pool; logits (a0 − a1, a1) of the means."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2, 1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.halve = nn.AvgPool2d(2)
        self.fc = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.first.weight.copy_(torch.tensor([[1.0, 0, 0], [0, 2, 0]]).view(2, 3, 1, 1))
            self.fc.weight.copy_(torch.tensor([[1.0, -1], [0, 1]]))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.halve(self.relu(self.first(x))).mean((2, 3)))
        return out


def forward_of(split: TorchSplit, x: Tensor, target: Sequence[int]) -> Forward:
    return scoring.forward(split, x, torch.tensor(target), (0,) * len(x))


# --- on paper -------------------------------------------------------------------------------------------------------


def test_refinecam() -> None:
    """Where c1 is 0, Grad-CAM of class 0 is A0 up to a factor, which the min-max takes away, at both layers.

    The pooled map is [[2, 4], [6, 10]]; its min-max [[0, 1/4], [1/2, 1]], upsampled by 3/4 and 1/4 of the neighbours,
    is [0, 1/16, 3/16, 1/4] in the first row, and so on; its corners are its extremes. Times the min-max of c0.
    """
    c0 = torch.tensor([[0.0, 4, 4, 4], [4, 0, 4, 4], [6, 6, 8, 8], [6, 6, 12, 12]])
    x = torch.stack([c0, torch.zeros(4, 4), torch.zeros(4, 4)])[None]
    split = cut(TwoSizes().eval(), "halve", prepared(4))
    sides = torch.tensor([[1.0, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    coarse = sides @ torch.tensor([[0, 0.25], [0.5, 1]]) @ sides.T
    for layers in (None, ["relu"], ["first"]):
        got = RefineCAM(base=GradCAM(), layers=layers)(split, forward_of(split, x, [0]))
        torch.testing.assert_close(got[0], coarse * c0 / 12)


def test_of_one_layer_it_is_its_base(tiny: TorchSplit, tiny_x: Tensor) -> None:
    """Features that are not traced show no other layer."""
    alone = replace(tiny, features_graph=Untraced(tiny.features_graph))
    forward = forward_of(alone, tiny_x, [0])
    expected = SaliencyRule()(GradCAMpp()(alone, forward), (2, 2))[0]
    assert torch.equal(RefineCAM()(alone, forward), expected.squeeze(1))
    with pytest.raises(CamsbenchError, match="features of tiny are not traced, and so have no layer 'conv'"):
        RefineCAM(layers=["conv"])(alone, forward)


class Untraced(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.part(x)
        return out


@pytest.mark.parametrize("base", [GradCAMpp(), GradCAM(), LayerCAM()])
def test_one_pass_for_all_layers_gives_what_a_cut_at_each_gives(
    base: OfGradient, resnet18: TorchSplit, images: Tensor
) -> None:
    x, names = images[:2].double(), ["layer1", "layer2", "layer3", "layer4"]
    rule, maps = SaliencyRule(), []
    for name in names:
        split = in_double(resnet18, name)
        maps.append(rule(base(split, forward_of(split, x, [3, 7])).relu(), (96, 96))[0])
    got = RefineCAM(base=base)(split, forward_of(split, x, [3, 7]))
    torch.testing.assert_close(got[:, None], torch.stack(maps).prod(0), rtol=0, atol=EXACT)


def test_it_costs_a_pass_and_a_gradient_of_the_network(lite0: TorchSplit, images: Tensor) -> None:
    forward = forward_of(lite0, images[:2], [3, 7])
    RefineCAM().check(lite0)
    with count_passes(lite0) as passes:
        RefineCAM()(lite0, forward)
    assert passes == Passes(features=2, head=2, backward=2, through=2)


def test_it_sees_weights_that_were_lost(lite0: TorchSplit, images: Tensor) -> None:
    """The sanity checks' copy, and the original behind it."""
    forward = forward_of(lite0, images[:1], [3])
    before = RefineCAM()(lite0, forward)
    with randomised(lite0, 0).without(["conv_stem"]) as broken:
        there = forward_of(broken, images[:1], [3])
        assert not torch.allclose(RefineCAM()(broken, there), before, atol=0.05)
    torch.testing.assert_close(RefineCAM()(lite0, forward), before)


# --- the layers -----------------------------------------------------------------------------------------------------


def test_stages_of_a_residual_network_are_the_paper_s(resnet18: TorchSplit) -> None:
    assert [layer.name for layer in RefineCAM().layers_of(resnet18)] == ["layer1", "layer2", "layer3"]


def test_a_stage_ends_with_its_last_block_and_not_within_the_next(lite0: TorchSplit) -> None:
    """The next stage's first block widens the channels at the old size before it halves it."""
    assert [layer.name for layer in RefineCAM().layers_of(lite0)] == ["blocks.1", "blocks.2", "blocks.4"]


def test_where_there_are_no_blocks_a_stage_ends_with_its_last_layer(vgg16: TorchSplit) -> None:
    assert [layer.name for layer in RefineCAM().layers_of(vgg16)] == ["features.8", "features.15", "features.22"]


def test_of_maps_of_one_size_each_block_is_a_stage() -> None:
    torch.manual_seed(0)
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, depth=5, embed_dim=48, num_heads=3).eval()
    split = cut(model.requires_grad_(False), None, prepared(64), name="vit")
    assert [layer.name for layer in RefineCAM().layers_of(split)] == ["blocks.1", "blocks.2", "blocks.3"]
    named = RefineCAM(layers=["blocks.2.norm1", "blocks.3.norm1"])  # the authors', beside which the stream passes
    found = named(split, forward_of(split, noise(split), [3]))
    assert found.shape == (1, 64, 64)
    assert found.amax() > 0


def test_channels_that_lie_last_are_shown(tiny_x: Tensor) -> None:
    torch.manual_seed(0)
    model = timm.create_model("swin_tiny_patch4_window7_224", depths=(1, 1, 1, 1), embed_dim=24, num_heads=(1, 1, 2, 2))
    split = cut(model.eval().requires_grad_(False), None, prepared(224), name="swin")
    layers = RefineCAM().layers_of(split)
    assert [(layer.name, layer.layout.kind) for layer in layers] == [(f"layers.{i}", "channels_last") for i in range(3)]
    assert RefineCAM()(split, forward_of(split, noise(split), [3])).isfinite().all()


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (["layer2", "layer5"], "layers: resnet18 has no layer 'layer5' before its target layer 'layer4': try "),
        (["fc"], "has no layer 'fc' before its target layer"),
        (["layer4"], "'layer4' is the target layer itself, which is always taken"),
    ],
)
def test_layers_that_are_not_before_the_target_layer(layers: list[str], sentence: str, resnet18: TorchSplit) -> None:
    with pytest.raises(CamsbenchError, match=sentence):
        RefineCAM(layers=layers).check(resnet18)


def test_wrong_options() -> None:
    with pytest.raises(ValueError, match="layers is layer1: give names of layers as a list"):
        RefineCAM(layers="layer1")
    with pytest.raises(ValueError, match="base is Occlusion: it must be a CAM of gradients"):
        RefineCAM(base=Occlusion())  # type: ignore[arg-type]


def test_yamls_are_the_class() -> None:
    made = make_methods(compose_config(["method=[refinecam,refinecam_gradcam]", "method.refinecam.layers=[a,b]"]))
    assert made["refinecam"] == RefineCAM(layers=("a", "b"))
    assert made["refinecam_gradcam"] == RefineCAM(base=GradCAMpp(epsilon=1e-6))
    other = ["method=refinecam", "method.refinecam.base._target_=camsbench.methods.layercam.LayerCAM"]
    assert make_methods(compose_config(other))["refinecam"] == RefineCAM(base=LayerCAM())


# --- against peers --------------------------------------------------------------------------------------------------

BLOCKS = ["blocks.1", "blocks.2", "blocks.4", "bn2"]  # of EfficientNet-Lite0
TARGET = [243, 559]


@pytest.mark.parity
@pytest.mark.slow
def test_refinecam_equals_grad_cam(full_lite0: TorchSplit, full_images: Tensor, parity: Parity) -> None:
    """In double precision: in early layers Grad-CAM++ divides by what passes near 0."""
    split = in_double(full_lite0)
    forward = forward_of(split, full_images[:2].double(), TARGET)
    targets = [ClassifierOutputTarget(c) for c in TARGET]
    for name, base, peer in (
        ("refinecam_gradcam", GradCAMpp(epsilon=1e-6), pgc.GradCAMPlusPlus),
        ("refinecam, base LayerCAM", LayerCAM(), pgc.LayerCAM),
    ):
        cam = pgc.RefineCAM(split.model, [split.model.get_submodule(b) for b in BLOCKS], base_method=peer)
        theirs = torch.as_tensor(cam(forward.x.clone().requires_grad_(), targets))
        ours = RefineCAM(base=base)(split, forward)
        parity.agrees(name, "grad-cam", f"{split.name}, double", ours, theirs, why="scaled by OpenCV")
        for one in cam.base_cam_per_layer:
            one.activations_and_grads.release()


@pytest.mark.parity
def test_refinecam_parts_from_grad_cam_s_denominator(
    full_lite0: TorchSplit, full_images: Tensor, parity: Parity
) -> None:
    split, forward = full_lite0, forward_of(full_lite0, full_images[:2], TARGET)
    theirs = RefineCAM(base=GradCAMpp(epsilon=1e-6))(split, forward)  # which the test above holds to grad-cam
    why = "Grad-CAM++ with 1e-6 in the denominator, in early layers more than g²"
    parity.parts("refinecam", "grad-cam", split.name, RefineCAM()(split, forward), theirs, why=why)


@pytest.mark.parity
def test_refinecam_equals_torchcam_at_the_image_s_size(
    full_lite0: TorchSplit, full_images: Tensor, parity: Parity
) -> None:
    """Its min-max comes before the upsampling: the same, up to a factor, where that keeps a map's lowest value.

    Left to itself it multiplies at the size of the largest map, and whoever shows the product upsamples that.
    """
    split, forward = full_lite0, forward_of(full_lite0, full_images[:1], TARGET[:1])
    with torchcam.RefineCAM(split.model, list(BLOCKS), base_method=torchcam.LayerCAM) as cam:
        scores = split.model(forward.x.clone().requires_grad_())
        (large,) = cam(class_idx=TARGET[0], scores=scores, target_shape=(224, 224), retain_graph=True)
        (theirs,) = cam(class_idx=TARGET[0], scores=scores)
    assert theirs.shape == (1, 56, 56)
    name, ours = "refinecam, base LayerCAM", RefineCAM(base=LayerCAM())(split, forward)
    parity.agrees(name, "torchcam", split.name, ours, large, why="at the image's size")
    later = upsample(theirs[:, None], (224, 224)).squeeze(1)
    parity.parts(name, "torchcam", split.name, ours, later, why="multiplies at the size of the largest map")


def test_the_min_max_comes_after_the_upsampling() -> None:
    """A lowest cell that lies alone is no corner: upsampled, [1, 0, 1] has no 0 any more.

    Between its 3 cells and 6 pixels the weights are 3/4 and 1/4: 1, 3/4, 1/4, 1/4, 3/4, 1, whose lowest is 0 after the
    min-max, and 1/4 before it.
    """
    x = torch.zeros(1, 3, 6, 6)
    x[0, 0] = torch.tensor([2.0, 2, 1, 1, 2, 2])
    split = cut(TwoSizes().eval(), "halve", prepared(6))
    got = RefineCAM(base=GradCAM(), layers=["relu"])(split, forward_of(split, x, [0]))
    # the layer before: [1, 1, 0, 0, 1, 1], which is 0 where the target layer's is lowest
    expected = torch.tensor([1, 2 / 3, 0, 0, 2 / 3, 1]).expand(6, 6)
    torch.testing.assert_close(got[0], expected)
