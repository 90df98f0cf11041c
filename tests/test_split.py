"""Cutting real networks: exact recomposition, nothing of the model changed, clear refusals."""

from __future__ import annotations

import pytest
import timm
import timm.data
import torch
import torchvision
from torch import nn

import camsbench
from camsbench import CamsbenchError, cut
from camsbench.config.paths import CONF
from camsbench.core.preprocess import Preprocess
from camsbench.models.published import published
from camsbench.models.weights import ModelSpec, weight_hash

OPEN = {"timm", "torchvision", "module", "checkpoint", "onnx", "planted"}  # of any network
NAMED = sorted(p.stem for p in (CONF / "model").glob("*.yaml") if p.stem not in OPEN)
LIGHT = {"efficientnet_lite0", "resnet18"}
PREPROCESS = Preprocess(resize=64, crop=64, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)


def test_the_eight_named_models_are_there() -> None:
    networks = "efficientnet_lite0 vgg16 vgg19 resnet18 resnet50 resnet101 resnext50_32x4d resnext101_32x8d"
    assert sorted(networks.split()) == NAMED


@pytest.mark.parametrize(
    "name", [name if name in LIGHT else pytest.param(name, marks=pytest.mark.slow) for name in NAMED]
)
def test_named_models_recompose_exactly_and_explain(name: str) -> None:
    split = camsbench.load_model(name, weights="random", device="cpu")
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole = split.model(x.contiguous(memory_format=torch.channels_last))
        plain = split.with_options(fold=False)
        torch.testing.assert_close(plain.head(plain.features(x)), whole, rtol=0, atol=0)
        torch.testing.assert_close(split.logits(x), whole, rtol=0, atol=1e-5 * float(whole.abs().max()))
    for method in ("gradcam", "reciprocam"):
        saliency = camsbench.explain(method, split, x)
        assert saliency.shape == (1, 1, 224, 224)
        assert saliency.isfinite().all()


def test_any_timm_and_torchvision_network_by_name() -> None:
    densenet = camsbench.load_model("torchvision/densenet121", weights="random", device="cpu")
    assert densenet.layer == "relu"  # functional, after the last block: the last map larger than 1x1
    mobilenet = camsbench.load_model("timm/mobilenetv2_100", weights="random", device="cpu")
    assert mobilenet.features(torch.zeros(1, 3, 224, 224)).shape == (1, 1280, 7, 7)
    assert mobilenet.preprocess.crop == 224
    convnext = camsbench.load_model("timm/convnext_atto", weights="random", device="cpu")  # its head is channels last
    assert convnext.features(torch.zeros(1, 3, 224, 224)).shape == (1, 320, 7, 7)


def test_the_preprocessing_is_that_of_the_published_weights() -> None:
    def resize(weights: str) -> object:
        return published(ModelSpec("resnet50", "torchvision", weights)).transform["resize"]

    assert (resize("IMAGENET1K_V1"), resize("IMAGENET1K_V2"), resize("random")) == (256, 232, 232)
    spec = ModelSpec("resnet50.a1_in1k", "timm", "pretrained")
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(spec.name).to_dict())
    own = timm.data.create_transform(**config)
    assert published(spec).transform["resize"] == own.transforms[0].size == 235


def test_random_weights_are_seeded() -> None:
    hashes = [
        weight_hash(camsbench.load_model("resnet18", weights="random", device="cpu", seed=s).model) for s in (0, 0, 1)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_cutting_before_an_in_place_relu_leaves_activations_and_model_alone() -> None:
    model = torchvision.models.vgg11(weights=None).eval()
    before = weight_hash(model)
    split = cut(model, "features.18", PREPROCESS)  # a convolution whose ReLU is in place
    A = split.features(torch.randn(1, 3, 64, 64))
    kept = A.clone()
    split.head(A)
    assert (A < 0).any()
    assert torch.equal(A, kept)
    assert weight_hash(model) == before
    assert model.features[19].inplace
    assert not model.training


def test_a_skip_connection_across_the_cut_is_refused() -> None:
    model = torchvision.models.resnet18(weights=None).eval()
    with pytest.raises(CamsbenchError, match=r"layer4\.0\.conv1.*skip connection.*model\.layer="):
        cut(model, "layer4.0.conv1", PREPROCESS)


def test_an_unknown_layer_names_its_neighbours() -> None:
    model = torchvision.models.resnet18(weights=None).eval()
    with pytest.raises(CamsbenchError, match=r"no layer 'layer5'.*layer4"):
        cut(model, "layer5", PREPROCESS)


def test_training_mode_is_refused() -> None:
    with pytest.raises(CamsbenchError, match=r"model\.eval\(\)"):
        cut(torchvision.models.resnet18(weights=None), "layer4", PREPROCESS)


def test_untraceable_models_are_refused() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            pooled = x.mean((2, 3))
            return self.fc(pooled) if pooled.sum() > 0 else self.fc(-pooled)

    with pytest.raises(CamsbenchError, match=r"cannot be traced by torch\.fx"):
        cut(Branching().eval(), None, PREPROCESS)
