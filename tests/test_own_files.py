"""Networks that exist only as a file of torch.export, TorchScript or ONNX, against the same networks in PyTorch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torchvision.models import get_model

import camsbench
from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.core.preprocess import Preprocess
from camsbench.models.split import TorchSplit, cut
from camsbench.run.planning.count import plan
from camsbench.run.planning.networks import Networks

pytestmark = pytest.mark.slow  # every test exports a network

SIDE = 64
OWN: dict[str, Any] = {"resize": SIDE, "crop": SIDE, "interpolation": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
BATCH = ({0: Dim("batch")},)
CURVES = ["insertion", "deletion", "drop", "complexity"]


def network(*end: nn.Module, classes: int = 5) -> nn.Sequential:
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 12, 3, 2), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, classes), *end).eval()


class Skips(nn.Module):
    """Its head uses the image again."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc((self.conv(x).relu() + x.mean(1, keepdim=True)).mean((2, 3)))
        return found


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.logits = network()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = self.logits(x)
        return out, out * 2


def images(count: int = 2) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def exported(path: Path, model: nn.Module, shapes: Any = BATCH, count: int = 2) -> str:
    torch.export.save(torch.export.export(model, (images(count),), dynamic_shapes=shapes), path)
    return str(path)


def as_onnx(path: Path, model: nn.Module, shapes: Any = BATCH, count: int = 2) -> str:
    torch.onnx.export(model, (images(count),), path, dynamo=True, dynamic_shapes=shapes, external_data=False,
                      verbose=False)  # fmt: skip
    return str(path)


def load(source: str, path: str, tmp_path: Path, **options: Any) -> Any:
    options = {"transform": OWN, "device": "cpu", "cache": tmp_path / "cache", **options}
    if source == "onnx":
        return camsbench.load_model("onnx", file=path, **options)
    return camsbench.load_model(source, path, **options)


def own(model: nn.Module, layer: str | None = None) -> TorchSplit:
    return cut(model, layer, Preprocess(**OWN))


@pytest.mark.parametrize("name", ["own", "resnet18", "squeezenet1_1", "shufflenet_v2_x0_5"])
def test_a_program_of_torch_export_is_the_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = network() if name == "own" else get_model(name, weights=None, num_classes=5).eval()
    theirs, ours = load("checkpoint", exported(tmp_path / "n.pt2", model), tmp_path), own(model)
    torch.testing.assert_close(theirs.logits(images()), ours.logits(images()), rtol=1e-5, atol=1e-5)
    for method in ("gradcam", "reciprocam", "integrated_gradients"):
        a, b = (camsbench.explain(method, split, images(), 1) for split in (theirs, ours))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    rows = [camsbench.evaluate("gradcam", split, images(), 1, metrics=CURVES).drop(columns="seconds")
            for split in (theirs, ours)]  # fmt: skip
    numbers = [frame.select_dtypes("number") for frame in rows]
    assert float((numbers[0] - numbers[1]).abs().to_numpy().max()) < 1e-5
    assert theirs.provides == {"gradient"}
    with pytest.raises(CamsbenchError, match=r"needs .*the network's modules, which this split does not provide"):
        camsbench.explain("lrp", theirs, images())


def test_a_program_is_cut_where_its_modules_or_nodes_end(tmp_path: Path) -> None:
    model = network()
    path = exported(tmp_path / "n.pt2", model)
    for layer in ("2", "relu"):  # the module, and the node that it became
        split = load("checkpoint", path, tmp_path, layer=layer)
        torch.testing.assert_close(split.features(images()), model[:3](images()))
    with pytest.raises(CamsbenchError, match="has no layer 'layer9'"):
        load("checkpoint", path, tmp_path, layer="layer9")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: exported(path, network(), None), r"for batches of 2 alone: .*dynamic_shapes=\(\{0: torch"),
        (lambda path: exported(path, network(), ({0: Dim("b", max=8)},)), "for batches of . to 8 images alone"),
        (lambda path: exported(path, network().train()), "exported in training mode"),
        (lambda path: exported(path, network(nn.Softmax(1))), "ends in softmax"),
        (lambda path: exported(path, network(nn.Sigmoid())), "ends in sigmoid"),
        (lambda path: exported(path, network(nn.LogSoftmax(1))), "ends in log_softmax"),
        (lambda path: exported(path, Two().eval()), "returns more than logits"),
    ],
)
def test_programs_that_cannot_be_asked_are_refused(make: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match=said) as refusal:
        load("checkpoint", make(tmp_path / "n.pt2"), tmp_path)
    assert "\n" not in str(refusal.value)


def test_sizes_and_files_that_do_not_fit_a_program(tmp_path: Path) -> None:
    path = exported(tmp_path / "n.pt2", network())
    with pytest.raises(CamsbenchError, match=r"exported for images of 3x64x64 .*3x32x32: give model\.transform\.crop="):
        load("checkpoint", path, tmp_path, transform={**OWN, "crop": 32})
    with pytest.raises(CamsbenchError, match=r"give model\.transform\.resize=, model\.transform\.crop=,"):
        load("checkpoint", path, tmp_path, transform=None)
    torch.save(network().state_dict(), tmp_path / "w.pth")
    with pytest.raises(CamsbenchError, match=r"is no network that torch\.export\.save"):
        load("checkpoint", str(tmp_path / "w.pth"), tmp_path)
    with pytest.raises(CamsbenchError, match="there is no file"):
        load("checkpoint", str(tmp_path / "nowhere.pt2"), tmp_path)


def test_modules_are_refused_of_a_program_before_any_work(tmp_path: Path, quick_run: Any) -> None:
    path = exported(tmp_path / "n.pt2", network(classes=1000))
    given = [f"model.weights='{path}'", *(f"model.transform.{key}={value}" for key, value in OWN.items())]
    options = ["model=checkpoint", *given, "data.limit=1", "metric=[drop]", "protocol.resize=64"]
    with pytest.raises(CamsbenchError, match=r"lrp needs .*the network's modules"):
        quick_run(tmp_path / "run", *options, "protocol.crop=64", "method=[lrp]")
    assert quick_run(tmp_path / "run", *options, "protocol.crop=64", "method=[gradcam]").errors == 0


def test_torchscript_runs_without_gradients(tmp_path: Path) -> None:
    model = network()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        torch.jit.trace(model, images()).save(str(tmp_path / "n.pt"))
    split = load("checkpoint", str(tmp_path / "n.pt"), tmp_path)
    assert split.provides == frozenset()
    a, b = (camsbench.explain("reciprocam", each, images(), 1) for each in (split, own(model)))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["own", "squeezenet1_1"])
@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_onnx_is_the_network(name: str, backend: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = network() if name == "own" else get_model(name, weights=None, num_classes=5).eval()
    theirs, ours = load("onnx", as_onnx(tmp_path / "n.onnx", model), tmp_path, backend=backend), own(model)
    assert (theirs.name, theirs.num_classes, theirs.provides) == ("n", 5, frozenset())
    for method in ("reciprocam", "scorecam", "occlusion"):
        a, b = (camsbench.explain(method, split, images(), 1) for split in (theirs, ours))
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    rows = [camsbench.evaluate("reciprocam", split, images(), 1, metrics=CURVES).drop(columns="seconds")
            .select_dtypes("number") for split in (theirs, ours)]  # fmt: skip
    assert float((rows[0] - rows[1]).abs().to_numpy().max()) < 1e-4
    with pytest.raises(CamsbenchError, match="gradcam needs a gradient"):
        camsbench.explain("gradcam", theirs, images())


def test_onnx_is_cut_where_a_node_or_tensor_is_named(tmp_path: Path) -> None:
    model = network()
    path = as_onnx(tmp_path / "n.onnx", model)
    first = next(node for node in onnx.load(path).graph.node if node.op_type == "Relu")
    for layer in (first.name, first.output[0]):
        split = load("onnx", path, tmp_path, layer=layer)
        torch.testing.assert_close(split.features(images()), model[:3](images()), rtol=0, atol=1e-5)
    with pytest.raises(CamsbenchError, match=r"no node or tensor 'layer9': try model\.layer= one of"):
        load("onnx", path, tmp_path, layer="layer9")


def test_a_fixed_batch_of_one_is_passed_one_by_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = get_model("shufflenet_v2_x0_5", weights=None, num_classes=5).eval()  # whose reshapes hold the number fast
    path = as_onnx(tmp_path / "n.onnx", model, None, 1)
    with caplog.at_level(logging.WARNING):
        split = load("onnx", path, tmp_path)
    assert caplog.text.count("passed one by one") == 1
    a, b = (camsbench.explain("reciprocam", each, images(3), 1) for each in (split, own(model)))
    torch.testing.assert_close(a, b, rtol=0, atol=1e-4)
    with pytest.raises(CamsbenchError, match="takes batches of 2 images alone"):
        load("onnx", as_onnx(tmp_path / "two.onnx", model, None), tmp_path)


def test_onnx_that_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    skips = as_onnx(tmp_path / "skips.onnx", Skips().eval())
    layer = next(node.name for node in onnx.load(skips).graph.node if node.op_type == "Relu")
    with pytest.raises(CamsbenchError, match="reads the image past the layer"):
        load("onnx", skips, tmp_path, layer=layer)
    path = as_onnx(tmp_path / "n.onnx", network())
    with pytest.raises(CamsbenchError, match=r"takes images of 3x64x64 .*model\.transform\.crop="):
        load("onnx", path, tmp_path, transform={**OWN, "crop": 32})
    with pytest.raises(CamsbenchError, match=r"takes images of 3x64x64"):
        load("onnx", path, tmp_path, transform={**OWN, "mean": [0.5], "std": [0.5]})
    with pytest.raises(CamsbenchError, match="ends in no softmax or sigmoid that could be taken off"):
        load("onnx", path, tmp_path, strip=True)
    two = as_onnx(tmp_path / "two.onnx", Two().eval())
    with pytest.raises(CamsbenchError, match=r"say which are the logits with model\.output_name="):
        load("onnx", two, tmp_path)
    chosen = onnx.load(two).graph.output[1].name
    torch.testing.assert_close(load("onnx", two, tmp_path, output_name=chosen).logits(images()),
                               Two().eval()(images())[1], rtol=0, atol=1e-5)  # fmt: skip
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(CamsbenchError, match="cannot be read as ONNX"):
        load("onnx", str(tmp_path / "text.onnx"), tmp_path)


@pytest.mark.parametrize("end", [nn.Softmax(1), nn.Sigmoid(), nn.LogSoftmax(1)])
def test_a_softmax_is_refused_or_taken_off(end: nn.Module, tmp_path: Path) -> None:
    path = as_onnx(tmp_path / "n.onnx", network(end))
    with pytest.raises(CamsbenchError, match=r"ends in \w+, .*model\.strip=true takes the logits in front of it"):
        load("onnx", path, tmp_path)
    logits = load("onnx", path, tmp_path, strip=True).logits(images())
    torch.testing.assert_close(logits, network()(images()), rtol=0, atol=1e-5)


def run_options(path: str) -> list[str]:
    given = [f"model.file='{path}'", *(f"model.transform.{key}={value}" for key, value in OWN.items())]
    return ["model=onnx", *given, "data.limit=1", "metric=[drop]", "protocol.resize=64",
            "protocol.crop=64", "method=[reciprocam]"]  # fmt: skip


def test_a_run_and_a_plan_of_an_onnx_network(tmp_path: Path, quick_run: Any) -> None:
    path = as_onnx(tmp_path / "n.onnx", network(classes=1000))
    options = [*run_options(path), f"runtime.cache='{tmp_path / 'cache'}'"]
    outcome = quick_run(tmp_path / "run", *options)
    assert outcome.errors == 0
    assert '"runtime.backend": "onnxruntime"' in (outcome.path / "environment.json").read_text()
    lines = plan(compose_config(options))
    assert {line.network for line in lines} == {"n"}
    assert sum(line.total.features for line in lines if line.method == "reciprocam") >= 1
    assert plan(compose_config(options), Networks({"": 10.0}))
    with pytest.raises(CamsbenchError, match="gradcam needs a gradient"):
        plan(compose_config([*options, "method=[gradcam]"]))
    with pytest.raises(CamsbenchError, match="gradcam needs a gradient"):
        quick_run(tmp_path / "other", *options, "method=[gradcam]")
