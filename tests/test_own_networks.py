"""Networks of one's own: what a file shows, names of classes, partial preprocessing, a function's network."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from quick import command
from torch import nn
from torchvision.models import get_model

import camsbench
from camsbench import CamsbenchError, cut
from camsbench.config.build import model_spec
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import plain
from camsbench.config.job import published_top1
from camsbench.core.passes import PassOptions
from camsbench.core.preprocess import Preprocess
from camsbench.models.load import build_network, load_network
from camsbench.models.names import read_names
from camsbench.models.published import published
from camsbench.models.weights import ModelSpec
from camsbench.run.code import plugin_code

CPU = torch.device("cpu")
OWN: dict[str, Any] = {"resize": 64, "crop": 64, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
TORCHVISION = "resnet18 squeezenet1_1 mobilenet_v2 mobilenet_v3_small shufflenet_v2_x0_5 mnasnet0_5 efficientnet_b0"
TIMM = "resnet18 mobilenetv2_100 convnext_atto efficientnet_b0 regnetx_002 ghostnet_050 hrnet_w18_small repvgg_a0"
LARGE = "densenet121 vgg11 convnext_tiny alexnet inception_v3 googlenet regnet_y_400mf"
LARGE_TIMM = "densenet121 vgg11 inception_v3 levit_128s swin_tiny_patch4_window7_224 dla34 xception41"


def saved(path: Path, source: str, name: str, beside: dict[str, Any] | None = None, **options: Any) -> str:
    torch.manual_seed(0)
    model = timm.create_model(name, **options) if source == "timm" else get_model(name, weights=None, **options)
    state = model.state_dict()
    torch.save(state if beside is None else {"state_dict": state, **beside}, path)
    return str(path)


def count_of(tmp_path: Path, source: str, name: str) -> None:
    training: dict[str, Any] = (
        {"init_weights": False} if name in {"inception_v3", "googlenet"} and source == "torchvision" else {}
    )
    path = saved(tmp_path / "w.pth", source, name, num_classes=7, **training)
    said = {"transform_input": False} if training else {}
    model, _ = build_network(ModelSpec(name, source, path, transform=OWN, options=said))
    held = torch.load(path)
    assert all(torch.equal(value, held[key]) for key, value in model.state_dict().items())
    with torch.no_grad():
        size = 299 if "inception" in name or "xception" in name else 224
        assert model(torch.zeros(1, 3, size, size)).shape == (1, 7)


@pytest.mark.parametrize("name", TORCHVISION.split())
def test_a_file_of_torchvision_shows_its_classes(name: str, tmp_path: Path) -> None:
    count_of(tmp_path, "torchvision", name)


@pytest.mark.parametrize("name", TIMM.split())
def test_a_file_of_timm_shows_its_classes(name: str, tmp_path: Path) -> None:
    count_of(tmp_path, "timm", name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "name"),
    [*(("torchvision", name) for name in LARGE.split()), *(("timm", name) for name in LARGE_TIMM.split())],
)
def test_larger_networks_show_theirs(source: str, name: str, tmp_path: Path) -> None:
    count_of(tmp_path, source, name)


def test_what_the_option_says_must_be_what_the_file_holds(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "timm", "resnet18", num_classes=7)
    spec = ModelSpec("resnet18", "timm", path, transform=OWN, options={"num_classes": 7})
    assert build_network(spec)[0].num_classes == 7
    with pytest.raises(CamsbenchError, match=r"num_classes=9: .* of a network of 7 classes: leave the option out"):
        build_network(replace(spec, options={"num_classes": 9}))


def test_what_differs_elsewhere_is_another_network(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "torchvision", "squeezenet1_0", num_classes=7)
    with pytest.raises(CamsbenchError, match="does not fit squeezenet1_1"):
        build_network(ModelSpec("squeezenet1_1", "torchvision", path, transform=OWN))


@pytest.mark.parametrize(("name", "channels"), [("resnet18", 1), ("convnext_atto", 4), ("mobilenetv2_100", 1)])
def test_a_file_of_timm_shows_its_channels(name: str, channels: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "timm", name, num_classes=5, in_chans=channels)
    own = {**OWN, "mean": [0.5] * channels, "std": [0.5] * channels}
    split = camsbench.load_model(f"timm/{name}", path, transform=own, device="cpu")
    assert (split.num_classes, split.preprocess.channels) == (5, channels)
    assert camsbench.explain("gradcam", split, torch.randn(1, channels, 64, 64)).shape == (1, 1, 64, 64)
    with pytest.raises(CamsbenchError, match=rf"takes images of {channels} channel.*model\.transform\.mean="):
        camsbench.load_model(f"timm/{name}", path, transform=OWN, device="cpu")


def test_torchvision_builds_for_colours_alone(tmp_path: Path) -> None:
    model = get_model("resnet18", weights=None)
    model.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    with pytest.raises(CamsbenchError, match=r"images have 1 channel, .*model=module model\.build="):
        build_network(ModelSpec("resnet18", "torchvision", str(tmp_path / "w.pth"), transform=OWN))


def test_one_output_is_no_softmax(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "timm", "resnet18", num_classes=1)
    with pytest.raises(CamsbenchError, match=r"whose softmax is 1 .*model\.output=binary"):
        camsbench.load_model("timm/resnet18", path, transform=OWN, device="cpu")
    names = tmp_path / "names.txt"
    names.write_text("well\nsick\n")
    split = camsbench.load_model("timm/resnet18", path, transform=OWN, device="cpu", output="binary", classes=names)
    assert split.class_names == ("well", "sick")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("n.txt", "cat\ndog\nowl\n\n"),
        ("n.json", json.dumps(["cat", "dog", "owl"])),
        ("n.json", json.dumps({"owl": 2, "cat": 0, "dog": 1})),
        ("n.json", json.dumps({"2": "owl", "0": "cat", "1": "dog"})),
    ],
)
def test_names_of_a_file(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert read_names(tmp_path / name) == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("n.txt", "a\nb\n", "there are 2 names, and the network has 3 classes"),
        ("n.txt", "a\nb\na\n", "'a' stands there 2 times"),
        ("n.txt", "a\n\nb\n", "no names of classes"),
        ("n.json", '{"a": 0, "b": 1, "c": 3}', "no names of classes"),
        ("n.json", "[1, 2, 3]", "no names of classes"),
        ("n.json", "[", "cannot be read"),
        (None, "", "cannot be read"),
    ],
)
def test_names_that_are_none_are_refused(name: str | None, text: str, said: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "timm", "resnet18", num_classes=3)
    if name is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(CamsbenchError, match=rf"model\.classes=.*{said}"):
        camsbench.load_model(
            "timm/resnet18", path, transform=OWN, device="cpu", classes=tmp_path / (name or "nowhere.txt")
        )


@pytest.mark.parametrize(
    "beside",
    [
        {"classes": ["cat", "dog", "owl"]},
        {"class_names": ("cat", "dog", "owl")},
        {"class_to_idx": {"owl": 2, "cat": 0, "dog": 1}},
        {"idx_to_class": {0: "cat", 1: "dog", 2: "owl"}},
    ],
)
def test_names_in_a_checkpoint(beside: dict[str, Any], tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "timm", "resnet18", beside, num_classes=3)
    split = camsbench.load_model("timm/resnet18", path, transform=OWN, device="cpu")
    assert split.class_names == ("cat", "dog", "owl")
    (tmp_path / "n.txt").write_text("a\nb\nc\n")
    other = camsbench.load_model("timm/resnet18", path, transform=OWN, device="cpu", classes=tmp_path / "n.txt")
    assert other.class_names == ("a", "b", "c")


def test_names_that_do_not_fit_a_checkpoint_are_left(tmp_path: Path) -> None:
    path = saved(tmp_path / "w.pth", "timm", "resnet18", {"classes": ["cat", "dog"]}, num_classes=3)
    assert camsbench.load_model("timm/resnet18", path, transform=OWN, device="cpu").class_names == ()


def test_a_network_that_is_cut_may_have_names() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert cut(network.eval(), None, Preprocess(**OWN), class_names=["a", "b"]).class_names == ("a", "b")
    with pytest.raises(CamsbenchError, match="there are 1 names, and the network has 2"):
        cut(network, None, Preprocess(**OWN), class_names=["a"])


def test_fields_of_the_preprocessing_are_set_one_by_one(tmp_path: Path) -> None:
    def prepared(*overrides: str) -> Preprocess:
        spec = model_spec(plain(compose_config(list(overrides)).model))
        return load_network(spec, PassOptions(), device=CPU)[0].preprocess

    whole = prepared("model=timm", "model.name=resnet18", "model.weights=random")
    part = prepared("model=timm", "model.name=resnet18", "model.weights=random", "model.transform.crop=[64,96]",
                    "model.transform.mean=[0.5,0.5,0.5]")  # fmt: skip
    assert part == replace(whole, crop=[64, 96], mean=[0.5] * 3)
    null = prepared("model=timm", "model.name=resnet18", "model.weights=random", "model.transform=null")
    assert null == whole
    with pytest.raises(CamsbenchError, match=r"model\.transform\.corp: there is no such field, only resize, crop"):
        prepared("model=timm", "model.name=resnet18", "model.weights=random", "+model.transform.corp=3")
    path = saved(tmp_path / "w.pth", "torchvision", "mobilenet_v3_small")
    large = ModelSpec("mobilenet_v3_large", "torchvision", path)
    with pytest.raises(CamsbenchError, match=r"say with model\.published= .* or give all of model\.transform's resize"):
        published(replace(large, transform={"mean": [0.5] * 3}))
    assert published(replace(large, transform=OWN)).transform == {}
    assert published(replace(large, transform={"resize": 240})).transform["crop"] == 224  # in which alone they differ


@pytest.mark.parametrize(
    ("overrides", "claimed"),
    [
        ([], True),
        (["model.transform.crop=192"], False),
        (["model.weights=random"], False),
        (["protocol=poppi"], False),
        (["model=resnet18"], True),
        (["model=resnet18", "model.transform.interpolation=bicubic"], False),
        (["model=resnet18", "model.transform.mean=[0.5,0.5,0.5]"], False),
        (["model=timm", "model.name=resnet18.a1_in1k", "model.top1=70"], True),
        (["model=timm", "model.name=resnet18.a1_in1k", "model.top1=70", "model.transform.crop=64"], False),
    ],
)
def test_an_accuracy_is_of_its_own_preprocessing(overrides: list[str], claimed: bool) -> None:
    assert (published_top1(compose_config(overrides)) is not None) is claimed


MODULE = """
import torch
from torch import nn

def build(classes=4, channels=3):
    layers = [nn.Conv2d(channels, 6, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(6, classes))

def prepared():
    own = {"resize": 32, "crop": 32, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
    return build(), own

def wrong():
    return 3
"""


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "own_nets.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "own_nets.py"
    sys.modules.pop("own_nets", None)


def test_a_function_s_network_must_be_allowed(own_module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAMSBENCH_PLUGINS", raising=False)
    for package in ("own_nets", "os.path"):
        with pytest.raises(CamsbenchError, match=r"not allowed; if you trust it, .*CAMSBENCH_PLUGINS="):
            camsbench.load_model("module", build=f"{package}:build")
    assert "own_nets" not in sys.modules


def test_a_function_s_network(own_module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "own_nets")
    load = camsbench.load_model
    split = load("module", build="own_nets:prepared", device="cpu")
    assert (split.name, split.num_classes, split.preprocess.crop) == ("prepared", 4, 32)
    assert split.weight_hash == load("module", build="own_nets:prepared", device="cpu").weight_hash
    assert split.weight_hash != load("module", build="own_nets:prepared", device="cpu", seed=1).weight_hash
    with pytest.raises(CamsbenchError, match=r"its pictures: give model\.transform\.resize=, .*model\.transform\.std="):
        load("module", build="own_nets:build")
    grey = {**OWN, "mean": [0.5], "std": [0.5]}
    made = load("module", build="own_nets:build", options={"channels": 1, "classes": 9}, transform=grey, device="cpu")
    assert made.num_classes == 9
    path = own_module.with_name("w.pth")
    torch.save({"state_dict": split.model.state_dict(), "classes": list("abcd")}, path)
    filled = load("module", str(path), build="own_nets:build", transform=OWN, device="cpu", seed=5)
    assert (filled.weight_hash, filled.class_names) == (split.weight_hash, tuple("abcd"))
    for build, options, said in (
        ("own_nets:nothing", {}, "there is no such function"),
        ("own_nets", {}, "give PACKAGE.MODULE:FUNCTION"),
        ("own_nets:wrong", {}, "returns int: let it return an nn.Module"),
        ("own_nets:build", {"colour": 1}, r"cannot be called with the options .*\+\+model\.options\.NAME=VALUE"),
    ):
        with pytest.raises(CamsbenchError, match=said):
            load("module", build=build, options=options)
    with pytest.raises(CamsbenchError, match=r"model\.weights=random: .*leave model\.weights out"):
        load("module", "random", build="own_nets:build")


def test_a_function_s_source_belongs_to_the_run(own_module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "own_nets")
    cfg = plain(compose_config(["model=module", "model.build=own_nets:prepared"]))
    before = plugin_code(cfg)
    assert list(before) == ["model.build"]
    assert plugin_code(plain(compose_config([]))) == {}
    own_module.write_text(MODULE.replace("nn.ReLU()", "nn.SiLU()"))
    assert plugin_code(cfg) != before


def test_a_run_of_a_function_s_network(own_module: Path, monkeypatch: pytest.MonkeyPatch, quick_run: Any) -> None:
    monkeypatch.setenv("CAMSBENCH_PLUGINS", "own_nets")
    options = ["model=module", "model.build=own_nets:build", "++model.options.classes=1000", "method=[reciprocam]"]
    options += ["model.transform.interpolation=bilinear", "model.transform.mean=[0.5,0.5,0.5]"]
    options += ["model.transform.std=[0.5,0.5,0.5]", "data.limit=1", "metric=[drop]"]
    assert quick_run(own_module.parent / "run", *options).errors == 0


def test_what_a_network_of_one_s_own_needs_is_said(tmp_path: Path) -> None:
    for model, option in (("module", "model.build"), ("onnx", "model.file"), ("checkpoint", "model.weights")):
        done = command(f"model={model}", "output=run", cwd=tmp_path)
        assert done.returncode != 0
        assert f"model={model} needs {option}=" in done.stderr
        with pytest.raises(CamsbenchError, match=f"as {option.partition('.')[2]}="):
            camsbench.load_model(model)
