"""The gradient CAMs against other people's implementations, on real images, with real and with random weights.

Where a peer's definition is another one, the deviation is named and asserted.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import LayerGradCam
from parity import Parity
from pytorch_grad_cam import GradCAM as PeerGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torchcam.methods import GradCAM as TorchCamGradCAM
from torchcam.methods import GradCAMpp as TorchCamGradCAMpp

from camsbench.core import scoring
from camsbench.core.saliency import normalise, upsample
from camsbench.core.types import Explainer
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.gradcampp import GradCAMpp
from camsbench.models.split import TorchSplit

pytestmark = pytest.mark.parity
TARGET = [243, 559, 438]


# The comparisons that results/parity.md lists are of images as published.


@pytest.fixture(scope="module")
def lite0(full_lite0: TorchSplit) -> TorchSplit:
    return full_lite0


@pytest.fixture(scope="module")
def vgg16(full_vgg16: TorchSplit) -> TorchSplit:
    return full_vgg16


@pytest.fixture(scope="module")
def resnet18(full_resnet18: TorchSplit) -> TorchSplit:
    return full_resnet18


@pytest.fixture(scope="module")
def images(full_images: Tensor) -> Tensor:
    return full_images


@pytest.fixture(params=["lite0", "vgg16", "resnet18"])
def network(request: pytest.FixtureRequest) -> tuple[TorchSplit, str]:
    split: TorchSplit = request.getfixturevalue(request.param)
    # an uncloned hook on VGG's last convolution sees what its in-place ReLU leaves: camsbench's features.29
    return split, {"lite0": "bn2", "vgg16": "features.29", "resnet18": "layer4"}[request.param]


def ours(method: Explainer, split: TorchSplit, x: Tensor) -> Tensor:
    return method(split, scoring.forward(split, x, torch.tensor(TARGET), (0, 0, 0)))


def torchcam(kind: Any, split: TorchSplit, layer: str, x: Tensor) -> Tensor:
    """Their raw maps: their own min-max adds 1e-8, which is as large as some of these maps."""
    maps = []
    for i, target in enumerate(TARGET):
        with kind(split.model, layer) as extractor:
            scores = split.model(x[i : i + 1].clone().requires_grad_())
            maps.append(extractor(target, scores, normalized=False)[0][0].detach())
    return torch.stack(maps)


def test_gradcam_equals_torchcam(network: tuple[TorchSplit, str], images: Tensor, parity: Parity) -> None:
    split, layer = network
    theirs = torchcam(TorchCamGradCAM, split, layer, images[:3])
    parity.agrees("gradcam", "torchcam", split.name, ours(GradCAM(), split, images[:3]), theirs)


def test_gradcam_equals_captum(network: tuple[TorchSplit, str], images: Tensor, parity: Parity) -> None:
    split, layer = network
    peer = LayerGradCam(split.model, split.model.get_submodule(layer))
    theirs = peer.attribute(images[:3].clone(), target=TARGET, relu_attributions=True).squeeze(1)
    parity.agrees("gradcam", "captum", split.name, ours(GradCAM(), split, images[:3]), theirs)


def test_gradcam_equals_grad_cam(network: tuple[TorchSplit, str], images: Tensor, parity: Parity) -> None:
    """grad-cam divides by max + 1e-7 and scales with OpenCV, whose bilinear has no align_corners: same grid."""
    split, layer = network
    with PeerGradCAM(model=split.model, target_layers=[split.model.get_submodule(layer)]) as peer:
        theirs = peer(images[:3].clone().requires_grad_(), [ClassifierOutputTarget(t) for t in TARGET])
    unit, _ = normalise(ours(GradCAM(), split, images[:3])[:, None])
    mine = upsample(unit, (224, 224)).squeeze(1)
    parity.agrees("gradcam", "grad-cam", split.name, mine, torch.from_numpy(theirs), why="scaled by OpenCV")


def test_gradcampp_parts_from_torchcam_which_divides_a_copy(vgg16: TorchSplit, images: Tensor, parity: Parity) -> None:
    """torchcam 0.5's α stays g²: its weight is ΣReLU(g)³, not Grad-CAM++'s."""
    theirs = torchcam(TorchCamGradCAMpp, vgg16, "features.29", images[:3])
    forward = scoring.forward(vgg16, images[:3], torch.tensor(TARGET), (0, 0, 0))
    g = scoring.head_gradient(vgg16, forward)
    literal = (g.relu().pow(3).sum((2, 3), keepdim=True) * forward.A).sum(1).relu()
    torch.testing.assert_close(normalise(theirs)[0], normalise(literal)[0], rtol=0, atol=1e-4)
    mine = ours(GradCAMpp(), vgg16, images[:3])
    parity.parts("gradcampp", "torchcam", vgg16.name, mine, theirs, "the division is lost on a copy: w = ΣReLU(g)³")
