"""Networks and pictures are what torchvision and timm make of them for their own published weights."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import timm
import timm.data
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.models._api import WeightsEnum
from torchvision.models.regnet import BlockParams

from camsbench import CamsbenchError
from camsbench.core.preprocess import Preprocess
from camsbench.data.embedded import samples
from camsbench.models.load import build_network
from camsbench.models.published import published
from camsbench.models.weights import ModelSpec

pytestmark = pytest.mark.slow

LIGHT = 30e6  # parameters, up to which networks pass an image; the larger ones are compared as they are built
OF_ONE_SIZE = ("vit_", "swin", "maxvit")  # in torchvision
KINDS = {  # of timm's tags, each at least once beside those that are drawn
    *("convnext_tiny.in12k_ft_in1k_384", "fbnetc_100.rmsp_in1k", "inception_v3.tv_in1k", "inception_v3.gluon_in1k"),
    *("tf_efficientnet_lite0.in1k", "lambda_resnet26t.c1_in1k", "mixer_b16_224.goog_in21k", "regnetz_040.ra3_in1k"),
    *("volo_d4_448.sail_in1k", "vit_base_patch16_sapiens2.fb", "deepseek_vit_412m.deepseek_v4_1_flash"),
    *("resnet50.a1_in1k", "mobilenetv3_large_100.miil_in21k", "nasnetalarge.tf_in1k", "resnext50_32x4d.a3_in1k"),
}
NOT_SUPPORTED = ("crop_mode=border", "only square colour images")  # refused by name


def torchvision_specs() -> list[ModelSpec]:
    """Every classifier with each of its published weights."""
    names = list_models(module=torchvision.models)
    return [ModelSpec(name, "torchvision", member.name) for name in names for member in get_model_weights(name)]


def timm_specs() -> list[ModelSpec]:
    """A seeded hundred of the published tags that have a classifier, and one of each kind."""
    tags = [tag for tag in timm.list_pretrained() if timm.get_pretrained_cfg(tag).num_classes]
    return [ModelSpec(tag, "timm", "pretrained") for tag in sorted({*random.Random(15).sample(tags, 100), *KINDS})]


class Libraries:
    """The libraries' own builders, which find ``state`` where they would download weights; nothing where it is None."""

    state: dict[str, Tensor] | None = None

    def build(self, spec: ModelSpec) -> nn.Module:
        """The network as its library builds it with its published weights."""
        if spec.source == "timm":
            return timm.create_model(spec.name, pretrained=True).eval()
        return get_model(spec.name, weights=spec.weights).eval()

    def unweighted(self, spec: ModelSpec) -> nn.Module:
        if spec.source == "timm":
            return timm.create_model(spec.name, pretrained=False)
        options = {k: v for k, v in published(spec).options.items() if k == "image_size"}
        if spec.name in {"googlenet", "inception_v3"}:
            options["init_weights"] = False  # which takes long
        return get_model(spec.name, weights=None, **options)


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Libraries:
    found = Libraries()
    load, from_init_params = nn.Module.load_state_dict, BlockParams.from_init_params

    def filled(model: nn.Module, state: dict[str, Tensor], **options: Any) -> object:
        return load(model, state, **options) if found.state is not None else ([], [])

    def on_the_processor(*arguments: Any, **options: Any) -> BlockParams:
        with torch.device("cpu"):  # RegNet's widths are numbers
            return from_init_params(*arguments, **options)

    monkeypatch.setattr(nn.Module, "load_state_dict", filled)
    monkeypatch.setattr(BlockParams, "from_init_params", on_the_processor)
    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *_, **__: found.state or {})
    monkeypatch.setattr("timm.models._builder.load_pretrained", lambda model, **_: model.load_state_dict(found.state))
    return found


def layout(model: nn.Module) -> dict[str, object]:
    """Modules with their plain attributes, and the shapes of tensors; without Inception's head for training."""
    tensors = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    modules = {
        name: (type(m).__name__, m.extra_repr(), *sorted((k, str(v)) for k, v in vars(m).items() if is_plain(k, v)))
        for name, m in model.named_modules()
    }
    return {k: v for k, v in {**modules, **tensors}.items() if not k.startswith("AuxLogits")}


def is_plain(name: str, value: object) -> bool:
    return isinstance(value, bool | int | float | str | tuple) and not name.startswith("_") and name != "aux_logits"


@cache
def pictures() -> list[Image.Image]:
    """Real pictures, of which most are made wide, high, small or grey."""
    found = []
    for i, record in enumerate(samples()):
        with record.source.open("rb") as file, Image.open(file) as image:
            width, height = [(512, 512), (512, 341), (307, 512), (199, 150)][i % 4]
            found.append(image.crop((0, 0, width, height)).convert("L" if i == 5 else "RGB"))
    return found


def differs(spec: ModelSpec, theirs: Callable[[Image.Image], Tensor], which: slice) -> bool:
    """Whether the network's input parts from the library's by more than rounding."""
    preprocess = Preprocess(**published(spec).transform)
    for picture in pictures()[which]:
        ours = preprocess.normalise(preprocess.pixels(picture)[None])[0]
        expected = theirs(picture.convert("RGB"))
        if ours.shape != expected.shape or (ours - expected).abs().max() > 1e-5:
            return True
    return False


def is_refused(spec: ModelSpec, reasons: tuple[str, ...]) -> bool:
    try:
        published(spec)
    except CamsbenchError as error:
        if any(reason in str(error) for reason in reasons):
            return True
        raise
    return False


def test_all_torchvision_classifiers_are_built_as_their_weights_expect(libraries: Libraries) -> None:
    compare_as_built(torchvision_specs(), libraries, ("features without a classifier",), refused=1)


def test_timm_networks_are_built_as_their_weights_expect(libraries: Libraries) -> None:
    compare_as_built(timm_specs(), libraries, NOT_SUPPORTED, refused=2)


def compare_as_built(specs: list[ModelSpec], libraries: Libraries, reasons: tuple[str, ...], refused: int) -> None:
    """All of them, without memory for their tensors."""
    usable = [spec for spec in specs if not is_refused(spec, reasons)]
    assert len(specs) - len(usable) >= refused
    wrong = []
    for spec in usable:
        with torch.device("meta"):
            theirs, ours = libraries.build(spec), build_network(spec)[0]
        if layout(ours) != layout(theirs):
            wrong.append(f"{spec.name} {spec.weights}")
    assert wrong == []
    assert len(usable) > 100


def test_light_torchvision_classifiers_give_the_library_s_logits(libraries: Libraries) -> None:
    specs = [spec for spec in torchvision_specs() if not is_refused(spec, ("features without a classifier",))]
    assert compare_logits(specs, libraries) >= 50


def test_light_timm_networks_give_the_library_s_logits(libraries: Libraries) -> None:
    specs = [spec for spec in timm_specs() if not is_refused(spec, NOT_SUPPORTED)]
    assert compare_logits(specs, libraries) >= 40


def compare_logits(specs: list[ModelSpec], libraries: Libraries) -> int:
    """With random weights, on noise: equal to the last bit. How many of the networks are light enough."""
    wrong, compared = [], 0
    for spec in specs:
        libraries.state = None
        with torch.device("meta"):
            size = sum(p.numel() for p in libraries.unweighted(spec).parameters())
        if size > LIGHT:
            continue
        compared += 1
        torch.manual_seed(1)
        source = libraries.unweighted(spec)
        libraries.state = source.state_dict()
        theirs, ours = libraries.build(spec), build_network(spec)[0]
        x = noise(spec, theirs)
        with torch.no_grad():
            if not torch.equal(theirs(x), ours(x)):
                wrong.append(f"{spec.name} {spec.weights}")
    assert wrong == []
    return compared


def noise(spec: ModelSpec, model: nn.Module) -> Tensor:
    """An image of noise, as small as the network takes it."""
    full = published(spec).transform["crop"]
    x = torch.randn(1, 3, full, full, generator=torch.Generator().manual_seed(2))
    if spec.name.startswith(OF_ONE_SIZE):
        return x
    small = x[..., :96, :96]
    try:
        with torch.no_grad(), torch.device("meta"):
            return small if model(small).isfinite().all() else x
    except (AssertionError, RuntimeError):  # a network of one size
        return x


def test_torchvision_s_pictures() -> None:
    wrong, met = [], set()
    for spec in torchvision_specs():
        if is_refused(spec, ("features without a classifier",)):
            continue
        preset = get_model_weights(spec.name)[spec.weights].transforms()
        if str(preset) not in met:
            met.add(str(preset))
            if differs(spec, preset, slice(None) if len(met) < 4 else slice(1, 4)):
                wrong.append(spec)
    assert wrong == []
    assert len(met) >= 20


def test_timm_s_pictures() -> None:
    wrong, met = [], set()
    for spec in timm_specs():
        if is_refused(spec, NOT_SUPPORTED):
            continue
        config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(spec.name).to_dict())
        if str(config) not in met:
            met.add(str(config))
            if differs(spec, timm.data.create_transform(**config, is_training=False), slice(1, 6)):
                wrong.append(spec.name)
    assert wrong == []
    assert len(met) >= 20
    assert any("squash" in each for each in met)
