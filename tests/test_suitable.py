"""What is no classifier of colour images that gives logits is refused in one sentence, before it is cut."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision
from conftest import Tiny
from torch import Tensor, nn

import camsbench
from camsbench import CamsbenchError, cut
from camsbench.core.passes import PassOptions
from camsbench.core.preprocess import Preprocess
from camsbench.core.scoring import forward
from camsbench.models.load import load_network
from camsbench.models.weights import ModelSpec, checksum

PREPROCESS = Preprocess(resize=16, crop=16, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
CPU = torch.device("cpu")


def network(*behind: nn.Module, channels: int = 3, classes: int = 4) -> nn.Sequential:
    """A convolution, an average pool, a linear layer, and what comes behind it."""
    torch.manual_seed(0)
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, classes)]
    return nn.Sequential(nn.Conv2d(channels, 5, 3), nn.ReLU(), *pooled, *behind).eval()


class Ends(nn.Module):
    """A network whose logits [B,4] go through a function."""

    def __init__(self, end: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.logits, self.end = network(), end

    def forward(self, x: Tensor) -> object:
        return self.end(self.logits(x))


class Second(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.logits = network()

    def forward(self, x: Tensor, metadata: Tensor) -> Tensor:
        return self.logits(x) + metadata


class Optional(Second):
    def forward(self, x: Tensor, metadata: Tensor | None = None) -> Tensor:
        return self.logits(x)


class NoParameters(nn.Module):
    """Mean colours as logits."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(x, 2).mean((2, 3))


def temperature(logits: Tensor) -> Tensor:
    return (logits / 0.1).exp() / (logits / 0.1).exp().sum(1, keepdim=True)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (network(channels=1), r"takes images of 1 channel: give model\.transform\.mean="),
        (network(channels=4), r"takes images of 4 channels: give model\.transform\.mean="),
        (network().half(), r"is in float16, .*call model\.float\(\)"),
        (network().bfloat16(), r"is in bfloat16, .*call model\.float\(\)"),
        (Ends(lambda out: out[:, 0]), r"gives \[\] an image, not logits"),
        (Ends(lambda out: out[:, :, None, None]), r"gives \[4, 1, 1\] an image, not logits .*nn\.Flatten\(1\)"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(),
            r"gives \[4, 14, 14\] an image, scores for every place",
        ),
        (Ends(lambda out: out[None]), r"gives float32 \[1, 2, 4\]"),
        (Ends(lambda out: out.argmax(1, keepdim=True)), r"gives int64 \[2, 1\]"),
        (Ends(lambda out: (out, out)), r"returns tuple, not logits"),
        (Ends(lambda out: {"out": out}), r"returns dict, not logits"),
        (Second().eval(), r"needs more than an image \(x, metadata\): wrap it"),
        (network(classes=1), r"gives \[1\] an image, whose softmax is 1"),
        (network(nn.Softmax(1)), r"ends in softmax, .*take it off"),
        (network(nn.Softmax(1), nn.Dropout()), r"ends in softmax"),
        (network(nn.LogSoftmax(1)), r"ends in logsoftmax"),
        (network(nn.Sigmoid()), r"ends in sigmoid"),
        (Ends(lambda out: out.softmax(1)), r"ends in softmax"),
        (Ends(lambda out: nn.functional.log_softmax(out, 1).squeeze()), r"ends in log_softmax"),
        (Ends(lambda out: out.sigmoid()), r"ends in sigmoid"),
        (Ends(torch.sigmoid), r"ends in sigmoid"),
        (Ends(temperature), r"ends in a softmax"),
        (Ends(lambda out: out - out.logsumexp(1, keepdim=True)), r"ends in a log-softmax"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(12, 4)).eval(),
            r"cannot pass images \[2, 3, 16, 16\] .*transform\.crop",
        ),
        (torchvision.models.video.r3d_18().eval(), r"takes videos"),
    ],
)
def test_what_is_no_classifier_is_refused(model: nn.Module, sentence: str) -> None:
    with pytest.raises(CamsbenchError, match=sentence) as refusal:
        cut(model.eval(), None, PREPROCESS, name="own")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("model", [network(), NoParameters(), Optional(), Ends(lambda out: out * 0)])
def test_what_is_one_is_cut_and_explained(model: nn.Module) -> None:
    split = cut(model.eval(), None, PREPROCESS)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert split.device == CPU
    torch.testing.assert_close(split.logits(x), model(x))
    assert camsbench.explain("gradcam", split, x).shape == (2, 1, 16, 16)
    assert split.weight_hash


def test_a_network_that_writes_into_its_images_is_cut() -> None:
    split = cut(nn.Sequential(nn.ReLU(inplace=True), *network()).eval(), "1", PREPROCESS)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    kept = x.clone()
    split.logits(x)
    assert torch.equal(x, kept)


def test_a_number_is_the_name_of_a_layer() -> None:
    assert cut(network(), 0, PREPROCESS).layer == "0"
    split = load_network(
        ModelSpec("squeezenet1_1", "torchvision", "random", layer=["features.10", "features.12"]),
        PassOptions(),
        device=CPU,
    )
    assert [each.layer for each in split] == ["features.10", "features.12"]
    with pytest.raises(CamsbenchError, match="no layer '4'"):
        load_network(ModelSpec("squeezenet1_1", "torchvision", "random", layer=4), PassOptions(), device=CPU)
    with pytest.raises(CamsbenchError, match="no layer '4'"):
        load_network(
            ModelSpec("squeezenet1_1", "torchvision", "random", layer=[4, "features.12"]), PassOptions(), device=CPU
        )


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("fcn_resnet50", "segmentation"),
        ("retinanet_resnet50_fpn", "detection"),
        ("raft_small", "optical-flow"),
        ("quantized_googlenet", "quantized"),
        ("r3d_18", "video"),
        ("swin3d_t", "video"),
    ],
)
def test_torchvision_s_other_networks_are_named(name: str, kind: str) -> None:
    with pytest.raises(CamsbenchError, match=f"one of torchvision's {kind} networks, not a classifier"):
        camsbench.load_model(f"torchvision/{name}", device="cpu")


def test_a_network_of_images_may_have_weights_of_five_dimensions() -> None:
    split = camsbench.load_model("timm/lambda_resnet26t", weights="random", device="cpu")
    assert any(p.ndim == 5 for p in split.model.parameters())
    convolutions = [p for p in split.model.parameters() if p.ndim == 4 and p.shape[2] > 1]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in convolutions)


def test_a_convolutional_layer_before_tokens_may_be_asked_for() -> None:
    split = camsbench.load_model("timm/resmlp_12_224", weights="random", layer="stem.proj", device="cpu")
    assert split.features(torch.zeros(1, 3, 224, 224)).shape == (1, 384, 14, 14)


def test_one_pooled_vector_an_image_is_no_tokens() -> None:
    assert camsbench.load_model("timm/ecaresnet26t", weights="random", device="cpu").layer


def test_features_without_a_classifier_are_refused() -> None:
    with pytest.raises(CamsbenchError, match="has no classifier"):
        load_network(ModelSpec("resnet18", "timm", "random", options={"num_classes": 0}), PassOptions(), device=CPU)
    with pytest.raises(CamsbenchError, match="features without a classifier"):
        camsbench.load_model("torchvision/vgg16", weights="IMAGENET1K_FEATURES", device="cpu")


def test_scores_of_a_network_without_tensors() -> None:
    assert checksum(NoParameters()).shape == (1,)
    split = cut(Tiny().eval(), None, PREPROCESS)
    assert forward(split, torch.randn(1, 3, 16, 16), None, (0,)).target.shape == (1,)


MAPS = "convmixer_1024_20_ks9_p14 edgenext_xx_small efficientformerv2_s0 efficientvit_m0 fastvit_t8 gcvit_xxtiny"
MAPS += " mobilevit_xxs poolformer_s12 pvt_v2_b0 tiny_vit_5m_224 visformer_tiny botnet26t_256 coatnet_nano_rw_224"


@pytest.mark.slow
@pytest.mark.parametrize("name", MAPS.split())
def test_families_that_end_on_a_feature_map(name: str) -> None:
    assert camsbench.load_model(f"timm/{name}", weights="random", device="cpu").num_classes >= 1000
