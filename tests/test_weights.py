"""Files of weights: which published ones they are or follow, which of a checkpoint's, and under which names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image
from torchvision.models import get_model
from torchvision.models._api import Weights

import camsbench
from camsbench import CamsbenchError
from camsbench.config.build import model_spec
from camsbench.config.compose import compose_config
from camsbench.config.paths import CONF
from camsbench.config.plain import plain
from camsbench.core.preprocess import Preprocess
from camsbench.models import recognised
from camsbench.models.checkpoint import read_checkpoint
from camsbench.models.load import build_network
from camsbench.models.published import published
from camsbench.models.weights import ModelSpec, state_dict


def saved(path: Path, name: str, **options: object) -> str:
    """A file of a torchvision network's seeded random weights."""
    torch.manual_seed(0)
    torch.save(get_model(name, weights=None, **options).state_dict(), path)
    return str(path)


def as_published(monkeypatch: pytest.MonkeyPatch, path: str, name: str, member: str) -> None:
    """As if torchvision had published the file as these weights."""
    weights = torchvision.models.get_model_weights(name)[member]
    digits = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]
    named: Weights = replace(weights.value, url=f"https://download.pytorch.org/models/{name}-{digits}.pth")
    monkeypatch.setattr(weights, "_value_", named)


@pytest.mark.parametrize(("member", "resize"), [("IMAGENET1K_V1", 256), ("IMAGENET1K_V2", 232)])
def test_a_published_file_is_recognised(
    member: str, resize: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "w.pth", "mobilenet_v3_large")
    as_published(monkeypatch, path, "mobilenet_v3_large", member)
    found = published(ModelSpec("mobilenet_v3_large", "torchvision", path))
    assert (found.name, found.transform["resize"]) == (member, resize)
    other = {"IMAGENET1K_V1": "IMAGENET1K_V2", "IMAGENET1K_V2": "IMAGENET1K_V1"}[member]
    with pytest.raises(CamsbenchError, match=rf"these are the weights {member} .* are those of {other}"):
        published(ModelSpec("mobilenet_v3_large", "torchvision", path, published=other))


def test_a_file_of_one_s_own_follows_what_is_said(tmp_path: Path) -> None:
    spec = ModelSpec("mobilenet_v3_large", "torchvision", saved(tmp_path / "w.pth", "mobilenet_v3_large"))
    with pytest.raises(
        CamsbenchError, match=r"differ in their preprocessing: say with model\.published= .*IMAGENET1K_V2"
    ):
        published(spec)
    for said, resize in (("IMAGENET1K_V1", 256), ("IMAGENET1K_V2", 232), ("DEFAULT", 232)):
        assert published(replace(spec, published=said)).transform["resize"] == resize
    with pytest.raises(CamsbenchError, match=r"model\.published=V9: mobilenet_v3_large has IMAGENET1K_V1"):
        published(replace(spec, published="V9"))
    own = {"resize": 100, "crop": 96, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
    assert published(replace(spec, transform=own)).name is None  # which says it all
    with pytest.raises(CamsbenchError, match="there is no file"):
        published(replace(spec, weights=str(tmp_path / "nowhere.pth")))


def test_where_all_published_weights_agree_a_file_needs_no_more(tmp_path: Path) -> None:
    spec = ModelSpec("squeezenet1_1", "torchvision", saved(tmp_path / "w.pth", "squeezenet1_1"))
    assert published(spec).transform["resize"] == 256


def test_transform_input_is_that_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "w.pth", "googlenet", init_weights=False)
    spec = ModelSpec("googlenet", "torchvision", path)
    with pytest.raises(
        CamsbenchError, match=r"transform_input=True.*model\.published=IMAGENET1K_V1.*\+\+model\.options"
    ):
        build_network(spec)
    assert build_network(replace(spec, published="IMAGENET1K_V1"))[0].transform_input
    assert not build_network(replace(spec, options={"transform_input": False}))[0].transform_input
    as_published(monkeypatch, path, "googlenet", "IMAGENET1K_V1")
    assert build_network(spec)[0].transform_input


def test_vision_transformers_are_built_for_the_size_of_their_weights() -> None:
    sizes = {
        name: published(ModelSpec("vit_b_16", "torchvision", name)).options["image_size"]
        for name in ("IMAGENET1K_V1", "IMAGENET1K_SWAG_E2E_V1")
    }
    assert sizes == {"IMAGENET1K_V1": 224, "IMAGENET1K_SWAG_E2E_V1": 384}


def test_a_file_for_timm_follows_a_tag(tmp_path: Path) -> None:
    spec = ModelSpec("resnet50", "timm", str(tmp_path / "w.pth"))
    (tmp_path / "w.pth").touch()
    with pytest.raises(CamsbenchError, match=r"say with model\.published= which it follows, one of a1_in1k"):
        published(spec)
    assert published(replace(spec, published="a1_in1k")).transform["resize"] == 235
    tiny = ModelSpec("tiny_vit_5m_224", "timm", "random")  # whose tags differ in classes
    classes = [build_network(replace(tiny, published=tag))[0].num_classes for tag in (None, "in1k")]
    assert classes == [21841, 1000]
    assert published(replace(spec, name="resnet50.tv_in1k")).transform["resize"] == 256
    with pytest.raises(CamsbenchError, match=r"model\.published=foo: resnet50 has a1_in1k"):
        published(replace(spec, published="foo"))
    with pytest.raises(CamsbenchError, match=r"bn_eps=0\.001.*model\.published=rmsp_in1k"):
        published(replace(spec, name="fbnetc_100"))
    assert published(replace(spec, name="fbnetc_100.rmsp_in1k")).options == {"bn_eps": 1e-3}


def test_timm_s_weights_are_those_of_the_tag_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def create(name: str, pretrained: bool) -> torch.nn.Module:
        made.append(name)
        return torch.nn.Linear(1, 1)

    monkeypatch.setattr("timm.create_model", create)
    state_dict(ModelSpec("resnet18", "timm", "pretrained", published="a2_in1k"))
    state_dict(ModelSpec("resnet18.a3_in1k", "timm", "pretrained"))
    state_dict(ModelSpec("resnet18", "timm", "pretrained"))
    assert made == ["resnet18.a2_in1k", "resnet18.a3_in1k", "resnet18"]


def test_preprocessing_and_accuracy_of_a_yaml_are_of_its_own_weights_alone() -> None:
    for path in (CONF / "model").glob("*.yaml"):
        if path.stem in {"timm", "torchvision", "efficientnet_lite0", "module", "checkpoint", "onnx", "planted"}:
            continue
        spec = model_spec(plain(compose_config([f"model={path.stem}"]).model))
        found = published(spec)
        assert found.name == spec.published
        assert {k: str(v) for k, v in found.transform.items()} == {k: str(v) for k, v in (spec.transform or {}).items()}
    resnet50 = model_spec(plain(compose_config(["model=resnet50"]).model))
    with pytest.raises(CamsbenchError, match=r"the weights IMAGENET1K_V2 .*use model=torchvision model\.name=resnet50"):
        published(replace(resnet50, weights="DEFAULT"))
    lite0 = model_spec(plain(compose_config(["model=efficientnet_lite0"]).model))
    with pytest.raises(CamsbenchError, match=r"the weights in1k .*use model=timm model\.name=tf_efficientnet_lite0"):
        published(replace(lite0, weights="pretrained"))
    assert published(replace(lite0, weights="random")).transform == published(lite0).transform == lite0.transform


def test_options_of_the_constructor(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "squeezenet1_1", num_classes=10)
    load = partial(camsbench.load_model, "torchvision/squeezenet1_1", path, device="cpu")
    split = load(options={"num_classes": 10}, published="IMAGENET1K_V1")
    assert split.num_classes == 10
    for source, name in (("torchvision", "squeezenet1_1"), ("timm", "resnet18")):
        with pytest.raises(CamsbenchError, match=rf"model\.options: {name} cannot be built with .*colour"):
            build_network(ModelSpec(name, source, "random", options={"colour": "red"}))


@pytest.mark.parametrize(("averaged", "plain_key"), [("state_dict_ema", "state_dict"), ("model_ema", "model")])
def test_averaged_weights_beside_plain_ones(averaged: str, plain_key: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(
        {averaged: {"module.a": torch.ones(1), "n_averaged": torch.ones(1)}, plain_key: {"a": torch.zeros(1)}}, path
    )
    with pytest.raises(CamsbenchError, match=rf"{averaged}\) and plain ones \({plain_key}\).*model\.ema=true or"):
        read_checkpoint(path, None)
    assert dict(read_checkpoint(path, True)) == {"a": 1}
    assert dict(read_checkpoint(path, False)) == {"a": 0}
    torch.save({averaged: {"a": torch.ones(1)}}, path)
    assert dict(read_checkpoint(path, None)) == {"a": 1}
    with pytest.raises(CamsbenchError, match=r"holds no plain weights, .*leave out model\.ema"):
        read_checkpoint(path, False)


def test_two_plain_state_dicts_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}, "model": {"a": torch.zeros(1)}}, tmp_path / "w.pth")
    with pytest.raises(CamsbenchError, match=r"several state dicts \(state_dict, model\): save the one to use"):
        read_checkpoint(tmp_path / "w.pth", None)


def test_torchvision_s_old_names_and_versions(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = get_model("densenet121", weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "densenet.pth")
    model, _ = build_network(ModelSpec("densenet121", "torchvision", str(tmp_path / "densenet.pth")))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    path = saved(tmp_path / "mnasnet.pth", "mnasnet0_75")  # whose version stands beside the tensors
    assert build_network(ModelSpec("mnasnet0_75", "torchvision", path, published="IMAGENET1K_V1"))


def test_names_that_look_like_numbers_are_names() -> None:
    spec = model_spec({"name": 4, "source": "timm", "weights": "random", "options": None})
    assert (spec.name, spec.options) == ("4", {})
    with pytest.raises(CamsbenchError, match=r"model\.name=4: timm has no such network"):
        build_network(spec)
    for wrong, sentence in (({"ema": "yes"}, "give true, false"), ({"options": "a"}, "++model.options.NAME=VALUE")):
        with pytest.raises(CamsbenchError, match=re.escape(sentence)):
            model_spec({"name": "resnet18", "source": "timm", "weights": "random", **wrong})


def test_pictures_that_timm_prepares_otherwise_are_refused_by_name() -> None:
    for name, sentence in (
        ("deepseek_vit_412m.deepseek_v4_1_flash", "crop_mode=border"),
        ("vit_base_patch16_sapiens2.fb", "3x1024x768"),
    ):
        with pytest.raises(CamsbenchError, match=sentence):
            published(ModelSpec(name, "timm", "pretrained"))
    squashed = published(ModelSpec("convnext_tiny.in12k_ft_in1k_384", "timm", "pretrained"))
    assert squashed.transform["resize"] == [384, 384]


def test_a_large_file_is_read_once_for_its_hash(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"1")
    recognised.recognise(tmp_path / "w.pth", "resnet50")
    before = recognised._sha256.cache_info().hits
    recognised.recognise(tmp_path / "w.pth", "resnet50")
    assert recognised._sha256.cache_info().hits == before + 1


def test_a_picture_smaller_than_the_crop_carries_its_boxes_into_the_padding() -> None:
    preprocess = Preprocess(resize=[5, 6], crop=8, interpolation="bilinear", mean=[0.5] * 3, std=[0.5] * 3)
    pixels = preprocess.pixels(Image.new("RGB", (6, 5), "white"))
    ((x0, y0, x1, y1),) = preprocess.boxes([(0, 0, 6, 5)], 6, 5)
    assert pixels[:, int(y0) : int(y1), int(x0) : int(x1)].min() == 255
    assert pixels.sum() == 3 * 255 * 30 == pixels[:, int(y0) : int(y1), int(x0) : int(x1)].sum()
