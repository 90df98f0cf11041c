"""Maps against other people's implementations, on the real network and real images (more in a later release).

Where a peer's definition is another one, the deviation is named and asserted.
"""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam
from pytorch_grad_cam import GradCAM as PeerGradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torchcam.methods import GradCAM as TorchCamGradCAM
from torchcam.methods import GradCAMpp as TorchCamGradCAMpp

from camsbench import scoring
from camsbench.maps import normalise
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.gradcampp import GradCAMpp
from camsbench.split import TorchSplit

TARGET = [243, 559, 438]


@pytest.fixture(params=["lite0", "vgg16"])
def network(request: pytest.FixtureRequest) -> tuple[TorchSplit, str]:
    split: TorchSplit = request.getfixturevalue(request.param)
    # an uncloned hook on VGG's last convolution sees what its in-place ReLU leaves: camsbench's features.29
    return split, {"lite0": "bn2", "vgg16": "features.29"}[request.param]


def ours(method: GradCAM | GradCAMpp, split: TorchSplit, x: Tensor) -> Tensor:
    forward = scoring.forward(split, x, torch.tensor(TARGET), (0, 0, 0))
    return normalise(method(split, forward)[:, None])[0].squeeze(1)


def torchcam(kind: type, split: TorchSplit, layer: str, x: Tensor) -> Tensor:
    """Their raw maps, min-maxed here: their own min-max adds 1e-8, which is as large as some of these maps."""
    maps = []
    for i, target in enumerate(TARGET):
        with kind(split.model, layer) as extractor:
            scores = split.model(x[i : i + 1].clone().requires_grad_())
            maps.append(extractor(target, scores, normalized=False)[0][0].detach())
    return normalise(torch.stack(maps)[:, None])[0].squeeze(1)


def test_gradcam_equals_torchcam(network: tuple[TorchSplit, str], images: Tensor) -> None:
    split, layer = network
    torch.testing.assert_close(
        ours(GradCAM(), split, images[:3]), torchcam(TorchCamGradCAM, split, layer, images[:3]), rtol=0, atol=1e-4
    )


def test_gradcam_equals_captum(network: tuple[TorchSplit, str], images: Tensor) -> None:
    split, layer = network
    peer = LayerGradCam(split.model, split.model.get_submodule(layer))
    raw = peer.attribute(images[:3].clone(), target=TARGET, relu_attributions=True).detach()
    torch.testing.assert_close(ours(GradCAM(), split, images[:3]), normalise(raw)[0].squeeze(1), rtol=0, atol=1e-4)


def test_gradcam_equals_grad_cam(network: tuple[TorchSplit, str], images: Tensor) -> None:
    """grad-cam divides by max + 1e-7 and scales with OpenCV, whose bilinear has no align_corners: same grid."""
    split, layer = network
    with PeerGradCAM(model=split.model, target_layers=[split.model.get_submodule(layer)]) as peer:
        theirs = torch.from_numpy(
            peer(images[:3].clone().requires_grad_(), [ClassifierOutputTarget(t) for t in TARGET])
        )
    mine = ours(GradCAM(), split, images[:3])[:, None]
    upsampled = torch.nn.functional.interpolate(mine, (224, 224), mode="bilinear", align_corners=False)
    torch.testing.assert_close(normalise(upsampled)[0].squeeze(1), normalise(theirs)[0], rtol=0, atol=1e-3)


def test_gradcampp_parts_from_torchcam_which_divides_a_copy(vgg16: TorchSplit, images: Tensor) -> None:
    """torchcam 0.5's α stays g²: its weight is ΣReLU(g)³, not Grad-CAM++'s."""
    theirs = torchcam(TorchCamGradCAMpp, vgg16, "features.29", images[:3])
    forward = scoring.forward(vgg16, images[:3], torch.tensor(TARGET), (0, 0, 0))
    g = scoring.head_gradient(vgg16, forward.A, forward.target)
    cubed = (g.relu().pow(3).sum((2, 3), keepdim=True) * forward.A).sum(1).relu()
    literal = normalise(cubed[:, None])[0].squeeze(1)
    mine = ours(GradCAMpp(), vgg16, images[:3])
    torch.testing.assert_close(theirs, literal, rtol=0, atol=1e-4)
    assert (theirs - mine).abs().amax() > 1e-2
