"""ONNX Runtime and OpenVINO against PyTorch: scores, maps, rows, refusals, and one export for all."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest
import torch
from contract import METHODS, contract_method
from quick import SIDE, quick_run
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.core import scoring
from camsbench.core.passes import count_passes
from camsbench.core.process import pause_threads
from camsbench.core.types import Forward, Split
from camsbench.files import user_cache
from camsbench.models import backends
from camsbench.models.backends.export import Export, agreement
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.backends.openvino import OpenVINOGraph, knows_bf16
from camsbench.models.split import TorchSplit, cut

pytestmark = pytest.mark.slow  # networks are exported and compiled

EXPORTED = ["onnxruntime", "openvino"]
TARGET = [243]
FORWARD_ONLY = [name for name in METHODS if not contract_method(name).needs]


@dataclass(frozen=True)
class Given:
    """A map that no rounding of the network touches: the brightness of each pixel."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return forward.x.mean(1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exported")


@pytest.fixture(scope="module")
def inside(lite0: TorchSplit) -> TorchSplit:
    """Cut inside the fourth stage: 240 channels of 6x6, and a head that is no average pool."""
    return cut(lite0.model, "blocks.3.0.bn2", lite0.preprocess, name=lite0.name)


@pytest.fixture(scope="module")
def pictures(full_images: Tensor) -> Tensor:
    return torch.nn.functional.interpolate(full_images, (SIDE, SIDE), mode="area")


@pytest.fixture(scope="module")
def twins(inside: TorchSplit, cache: Path) -> dict[str, ExportedSplit]:
    made = {name: backends.move_to(name, [inside], cache)[0] for name in EXPORTED}
    return {name: split for name, split in made.items() if isinstance(split, ExportedSplit)}


@pytest.fixture(params=EXPORTED)
def twin(request: pytest.FixtureRequest, twins: dict[str, ExportedSplit]) -> ExportedSplit:
    return twins[request.param]


def near(theirs: Tensor, ours: Tensor, tolerance: float = 2e-5) -> None:
    """Within a share of the largest value."""
    torch.testing.assert_close(theirs, ours, rtol=0, atol=tolerance * float(ours.abs().max()))


def test_the_three_calls_agree_with_pytorch(twin: ExportedSplit, inside: TorchSplit, pictures: Tensor) -> None:
    with torch.inference_mode():
        A = inside.features(pictures)
        near(twin.features(pictures), A)
        near(twin.head(A), inside.head(A))
        near(twin.logits(pictures), inside.logits(pictures))


def test_any_batch_size_gives_the_same_scores(twin: ExportedSplit, pictures: Tensor) -> None:
    many = pictures.repeat(7, 1, 1, 1)[:33]
    whole = twin.logits(many)
    for size in (1, 2, 3, 5, 8, 16, 17):
        near(torch.cat([twin.logits(part) for part in many.split(size)]), whole)
    near(twin.logits(many.flip(0)), whole.flip(0))


def test_a_result_stays_when_the_next_is_asked_for(twin: ExportedSplit, pictures: Tensor) -> None:
    for batch in (1, 4):
        first = twin.features(pictures[:batch])
        kept = first.clone()
        twin.features(-pictures[:batch])
        assert torch.equal(first, kept)


def test_inputs_of_another_layout_are_the_same_images(twin: ExportedSplit, pictures: Tensor) -> None:
    last = pictures.contiguous(memory_format=torch.channels_last)
    assert torch.equal(twin.logits(last), twin.logits(pictures))


@pytest.mark.skipif(not knows_bf16(), reason="a processor without bf16")
def test_bf16_is_for_the_passes_of_copies_alone(inside: TorchSplit, pictures: Tensor, cache: Path) -> None:
    (exact,), (low,) = (
        backends.move_to("openvino", [inside.with_options(copies_dtype=dtype)], cache)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert torch.equal(low.features(pictures), exact.features(pictures))
    assert torch.equal(low.logits(pictures), exact.logits(pictures))
    difference = (low.for_copies.logits(pictures) - exact.logits(pictures)).abs().max()
    assert 1e-4 < difference < 3  # bf16 has 8 bits, here between the layers, too; the logits go up to about 10
    target = torch.tensor(TARGET * len(pictures))
    with count_passes(low) as passes:
        scores = scoring.score_inputs(low, lambda image, _: pictures[image], 1, target)
    assert passes.features == len(pictures)
    torch.testing.assert_close(scores, low.for_copies.logits(pictures).softmax(1)[:, TARGET])


def test_bf16_is_refused_where_the_processor_lacks_it(
    inside: TorchSplit, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camsbench.models.backends.openvino.knows_bf16", lambda: False)
    with pytest.raises(CamsbenchError, match=r"runtime\.precision=bf16: OpenVINO finds no bf16 .* use .*fp32"):
        backends.move_to("openvino", [inside.with_options(copies_dtype=torch.bfloat16)], cache)


def test_openvino_computes_in_float32(twins: dict[str, ExportedSplit]) -> None:
    graph = twins["openvino"].whole_graph
    assert isinstance(graph, OpenVINOGraph)
    for compiled in (graph._one.get_compiled_model(), graph._many[0].get_compiled_model()):
        assert str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()) == "f32"
        assert compiled.get_property("INFERENCE_NUM_THREADS") == torch.get_num_threads()


@pytest.mark.parametrize("method", FORWARD_ONLY)
def test_every_method_without_gradients_gives_the_same_map(
    method: str, twins: dict[str, ExportedSplit], inside: TorchSplit, pictures: Tensor
) -> None:
    explainer = contract_method(method)
    ours = camsbench.explain(explainer, inside, pictures[:1], TARGET, ids=["a"])
    for twin in twins.values():
        theirs = camsbench.explain(explainer, twin, pictures[:1], TARGET, ids=["a"])
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-4)


def run(output: Path, cache: Path, *overrides: str) -> pd.DataFrame:
    outcome = quick_run(output, f"runtime.cache='{cache}'", "data.limit=2", *overrides)
    assert outcome.errors == 0
    return pd.read_parquet(outcome.path / "rows")


def test_every_backend_gives_the_same_rows(tmp_path: Path, cache: Path) -> None:
    methods = "method=[scorecam,reciprocam,ablationcam,eigencam,occlusion]"
    options = ["model.layer=blocks.3.0.bn2", "method.occlusion.stride=15", methods]
    rows = {
        name: run(tmp_path / name, cache, *options, f"runtime.backend={name}").drop(columns="seconds")
        for name in ("torch", *EXPORTED)
    }
    # In one ablationcam map two pixels on both sides of a step's border lie within 1.1e-6: rounding swaps them, and of
    # four steps on a small image one pixel moves the area by 0.003. The same map scores alike (next test).
    tied = rows["torch"]["method"] == "ablationcam"
    for name in EXPORTED:
        pd.testing.assert_frame_equal(rows[name][~tied], rows["torch"][~tied], rtol=0, atol=1e-4)
        pd.testing.assert_frame_equal(rows[name], rows["torch"], rtol=0, atol=5e-3)


@pytest.mark.parametrize("metric", ["insertion", "deletion", "drop", "increase", "coherency", "complexity", "adcc"])
def test_every_metric_scores_the_same_map_alike(
    metric: str, twin: ExportedSplit, inside: TorchSplit, pictures: Tensor
) -> None:
    ours = camsbench.evaluate(Given(), inside, pictures[:2], metrics=[metric])
    theirs = camsbench.evaluate(Given(), twin, pictures[:2], metrics=[metric])
    pd.testing.assert_frame_equal(theirs.drop(columns="seconds"), ours.drop(columns="seconds"), rtol=0, atol=1e-5)


def test_several_layers_share_the_whole_network(inside: TorchSplit, lite0: TorchSplit, cache: Path) -> None:
    last = cut(lite0.model, "bn2", inside.preprocess, name=lite0.name)
    first, second = backends.move_to("onnxruntime", [inside, last], cache)
    assert isinstance(first, ExportedSplit)
    assert isinstance(second, ExportedSplit)
    assert first.whole_graph is second.whole_graph


def test_layers_are_fused_on_a_backend(tmp_path: Path, cache: Path) -> None:
    rows = run(tmp_path / "fused", cache, "model.layer=[blocks.3.0.bn2,bn2]", "model.fuse=mean", "method=[reciprocam]",
               "metric=[drop]", "runtime.backend=openvino")  # fmt: skip
    assert set(rows["layer"]) == {"blocks.3.0.bn2+bn2"}


@pytest.mark.usefixtures("twins")
def test_what_is_exported_once_is_found_again(inside: TorchSplit, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object, **options: object) -> None:
        raise AssertionError("exported again")

    monkeypatch.setattr(torch.onnx, "export", never)
    backends.move_to("onnxruntime", [inside], cache)
    assert {path.name for path in Export.of(inside, cache).folder.iterdir()} == {
        *("features.onnx", "head.onnx", "whole.onnx")
    }


def test_other_weights_layers_and_sizes_are_other_exports(
    lite0: TorchSplit, full_lite0: TorchSplit, inside: TorchSplit, cache: Path
) -> None:
    drawn = camsbench.load_model("efficientnet_lite0", weights="random", layer="blocks.3.0.bn2", device="cpu")
    small = cut(drawn.model, "blocks.3.0.bn2", inside.preprocess, name=lite0.name)
    larger = cut(lite0.model, "blocks.3.0.bn2", full_lite0.preprocess, name=lite0.name)
    other_layer = cut(lite0.model, "bn2", inside.preprocess, name=lite0.name)
    assert len({Export.of(split, cache).folder for split in (inside, small, larger, other_layer)}) == 4
    again = cut(lite0.model, "blocks.3.0.bn2", inside.preprocess, name=lite0.name)
    assert Export.of(inside, cache) == replace(Export.of(again, cache), split=inside)


def test_a_graph_that_disagrees_is_refused(twin: ExportedSplit, inside: TorchSplit) -> None:
    for wrong in (lambda x: twin.logits(x) * 1.001, lambda x: twin.logits(x) * float("nan")):
        with pytest.raises(CamsbenchError, match=r"exported whole network of .*lite0.*use runtime.backend=torch"):
            agreement(inside, replace(twin, whole_graph=wrong), "runtime.backend=openvino")


@pytest.mark.parametrize("backend", EXPORTED)
def test_gradients_are_refused_before_anything_is_exported(backend: str, tmp_path: Path, twin: ExportedSplit) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(CamsbenchError, match=r"gradcam needs a gradient.*use runtime.backend=torch"):
        run(tmp_path / "run", cache, "method=[reciprocam,gradcam]", f"runtime.backend={backend}")
    assert not cache.exists()
    with pytest.raises(CamsbenchError, match=r"gradcam needs a gradient.*use runtime.backend=torch"):
        camsbench.explain("gradcam", twin, torch.zeros(1, 3, SIDE, SIDE))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["runtime.backend=tensorrt"], "choose one of torch, onnxruntime, openvino"),
        (["runtime.backend=openvino", "runtime.device=cuda"], "use runtime.device=cpu"),
    ],
)
def test_wrong_options_are_refused(options: list[str], said: str, tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match=said):
        run(tmp_path, tmp_path, "method=[reciprocam]", *options)


@pytest.mark.parametrize(("backend", "extra"), [("onnxruntime", "onnx"), ("openvino", "openvino")])
def test_a_missing_package_names_what_to_install(backend: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == backend else found(name))
    with pytest.raises(CamsbenchError, match=rf"{backend} is not installed; pip install 'camsbench\[{extra}\]'"):
        camsbench.load_model(backend=backend)


def test_the_backend_belongs_to_the_run(tmp_path: Path, cache: Path) -> None:
    options = ["method=[eigencam]", "metric=[complexity]", "model.layer=bn2"]
    run(tmp_path / "run", cache, *options)
    with pytest.raises(CamsbenchError, match=r"runtime\.backend"):
        run(tmp_path / "run", cache, *options, "runtime.backend=openvino")


def test_a_user_s_cache_is_where_the_platform_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_cache() == tmp_path / "camsbench"


@pytest.mark.parametrize("form", ["onnx", "openvino"])
def test_the_script_writes_both_parts(
    form: str, cache: Path, tmp_path: Path, full_lite0: TorchSplit, full_images: Tensor
) -> None:
    command = [sys.executable, "scripts/export.py", "efficientnet_lite0", "--format", form, "--output", str(tmp_path)]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    assert "[batch,1280,7,7]" in done.stdout
    suffix = "onnx" if form == "onnx" else "xml"
    compile_graph = OpenVINOGraph  # reads both
    features, head = (compile_graph(tmp_path / f"{part}.{suffix}") for part in ("features", "head"))
    near(head(features(full_images)), full_lite0.logits(full_images))


def test_idle_threads_of_pytorch_make_way() -> None:
    """GNU's OpenMP ends its idle threads, and products go on as before."""
    pause_threads()
    x = torch.randn(64, 512, generator=torch.Generator().manual_seed(0))
    before = x @ x.T
    pause_threads()
    assert torch.equal(x @ x.T, before)


@pytest.mark.skipif(not list(Path(torch.__file__).parent.glob("lib/libgomp*.so*")), reason="another thread library")
def test_idle_threads_are_gone_when_a_backend_passes() -> None:
    code = (
        "import os, torch; from camsbench.core.process import pause_threads; torch.set_num_threads(2)\n"
        "def count(): torch.randn(4_000_000).exp(); return len(os.listdir('/proc/self/task'))\n"
        "busy = count(); pause_threads(); print(busy - len(os.listdir('/proc/self/task')), count() - busy)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.split() == ["1", "0"]  # one thread beside the main one went, and came again
