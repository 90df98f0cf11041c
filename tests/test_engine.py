"""Perturbed copies in another precision and compiled for one shape; what methods of a run share of the curves."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
from exact import EXACT
from torch import Tensor

from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.config.runtime import check_compile, check_runtime, copies_dtype
from camsbench.core import scoring
from camsbench.core.explained import Explained, Metric, explain
from camsbench.core.passes import MicroBatch, count_passes
from camsbench.core.saliency import SaliencyRule
from camsbench.methods.gradcam import GradCAM
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.metrics._substrate import SUBSTRATES, substrate
from camsbench.metrics.curves import Deletion, Insertion
from camsbench.models import compiled as engine
from camsbench.models.compiled import OneShape
from camsbench.models.split import TorchSplit, check_range

CPU = torch.device("cpu")


def runtime(*options: str) -> object:
    return check_runtime(compose_config(options).runtime)


def test_auto_sizes_are_those_of_the_device() -> None:
    made = check_runtime(compose_config(["runtime.device=cpu"]).runtime)
    assert (made.batch_size, made.block) == (16, 16)
    made = check_runtime(compose_config(["runtime.device=cpu", "runtime.batch_size=24"]).runtime)
    assert (made.batch_size, made.block) == (24, 24)  # a batch does not reach beyond its block


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["runtime.precision=fp8"], "choose one of fp32, tf32, bf16, fp16"),
        (["runtime.precision=fp16"], "fp16: only a CUDA device .* use bf16 or fp32"),
        (["runtime.precision=bf16", "runtime.backend=onnxruntime"], "runs in fp32; use runtime.precision=fp32"),
        (["runtime.precision=fp16", "runtime.backend=openvino"], "runs in fp32 or bf16; use runtime.precision=fp32"),
        (["runtime.compile=maybe"], "runtime.compile=maybe: give true or false"),
        (["runtime.compile=true", "runtime.backend=onnxruntime"], "compiles by itself; leave it out"),
        (["runtime.batch_size=0"], "runtime.batch_size=0: give a number from 1 up, or auto"),
        (["runtime.block=some"], "runtime.block=some: give a number from 1 up, or auto"),
    ],
)
def test_a_wrong_option_is_one_sentence(options: list[str], says: str) -> None:
    with pytest.raises(CamsbenchError, match=says):
        runtime("runtime.device=cpu", *options)


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CamsbenchError, match=r"needs a C\+\+ compiler: install it, or use runtime\.compile=false"):
        check_compile(True, "torch", CPU)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(CamsbenchError, match=r"needs Python's headers"):
        check_compile(True, "torch", CPU)
    (tmp_path / "Python.h").touch()
    assert check_compile(True, "torch", CPU)
    assert not check_compile(False, "openvino", CPU)


def test_fp16_is_for_cuda() -> None:
    assert copies_dtype("fp16", "torch", torch.device("cuda")) == torch.float16
    assert copies_dtype("tf32", "onnxruntime", CPU) == torch.float32


def scores(split: TorchSplit, x: Tensor, copies: int = 5, probability: bool = True) -> Tensor:
    def fade(image: Tensor, copy: Tensor) -> Tensor:
        return x[image] * (1 - copy[:, None, None, None] / 10)

    return scoring.score_inputs(split, fade, copies, torch.full((len(x),), 243), probability=probability)


def test_bf16_is_for_the_passes_of_copies_alone(lite0: TorchSplit, images: Tensor) -> None:
    low = lite0.with_options(copies_dtype=torch.bfloat16)
    x = images[:2]
    base, base_low = (scoring.forward(split, x, None, (0, 0)) for split in (lite0, low))
    assert torch.equal(base.A, base_low.A)
    assert torch.equal(base.logits, base_low.logits)
    gradient = scoring.head_gradient(low, base, probability=True)
    assert torch.equal(gradient, scoring.head_gradient(lite0, base, probability=True))
    got, exact = scores(low, x, probability=False), scores(lite0, x, probability=False)
    assert got.dtype == torch.float32
    assert 1e-4 < (got - exact).abs().max() < 0.5  # bf16 has 8 bits; the logits go up to about 10
    assert scores(low, x).dtype == torch.float32
    features = scoring.score_features(low, base, lambda image, _: base.A[image], 1)
    assert 0 < (features.squeeze(1) - base.probability).abs().max() < 0.02


def test_bf16_follows_weights_that_change(tiny: TorchSplit, tiny_x: Tensor) -> None:
    low = tiny.with_options(copies_dtype=torch.bfloat16)

    def logit() -> float:
        return float(scoring.score_inputs(low, lambda image, _: tiny_x[image], 1, torch.tensor([0]), probability=False))

    assert logit() == 1.5  # 2.5 − 1, as bf16 writes it
    tiny.model.fc.weight.data.mul_(2)  # type: ignore[union-attr,operator]
    assert logit() == 3


def test_numbers_beyond_a_precision_are_refused(tiny: TorchSplit) -> None:
    tiny.model.conv.weight.data.mul_(1e6)  # type: ignore[union-attr,operator]
    check_range(tiny.with_options(copies_dtype=torch.bfloat16))
    with pytest.raises(CamsbenchError, match=r"tiny overflows in torch.float16: use runtime\.precision=bf16, or fp32"):
        check_range(tiny.with_options(copies_dtype=torch.float16))


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_short_batch_is_filled_up_and_gives_what_a_full_one_gives(
    channels_last: bool, lite0: TorchSplit, images: Tensor
) -> None:
    seen: list[tuple[torch.Size, bool]] = []

    def run(x: Tensor) -> Tensor:
        seen.append((x.shape, x.is_contiguous(memory_format=torch.channels_last)))
        with torch.inference_mode():
            return lite0.logits(x)

    part = OneShape(run, lite0.logits)
    part.size = 5
    x = images.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    full = part(x)
    for count in (1, 3):
        assert torch.equal(part(x[:count]), full[:count])
    assert seen == [(images.shape, channels_last)] * 3


def test_compiled_code_that_gives_other_numbers_is_refused() -> None:
    """As PyTorch's cache does that another kind of processor wrote; what a precision rounds is less."""
    x = torch.tensor([[4.0, -2], [1, 0]])
    for times, says in (
        (1.01, ""),
        (1.5, r"gives other numbers \(by 2 where the largest is 4\).*TORCHINDUCTOR_CACHE_DIR"),
    ):
        part = OneShape(lambda x, times=times: times * x, lambda x: x)
        part.size = 2
        with pytest.raises(CamsbenchError, match=says) if says else nullcontext():
            assert torch.equal(part(x), times * x)
    hole = torch.tensor([[torch.nan, torch.inf]])
    part = OneShape(lambda x: x, lambda x: x)
    assert part(hole).isnan().any()  # the network's own


def test_compiled_copies_see_one_shape_and_are_counted_as_they_are(
    lite0: TorchSplit, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: set[int] = set()

    def compile_nothing(run: engine.Callable[[Tensor], Tensor], **options: object) -> engine.Callable[[Tensor], Tensor]:
        def watched(x: Tensor) -> Tensor:
            shapes.add(len(x))
            return run(x)

        return watched

    monkeypatch.setattr(torch, "compile", compile_nothing)
    split = replace(lite0, micro_batch=MicroBatch(4)).with_options(compile=True)
    with count_passes(split) as passes:
        got = scores(split, images[:2], copies=5)
    torch.testing.assert_close(got, scores(replace(lite0, micro_batch=MicroBatch(4)), images[:2], copies=5))
    assert shapes == {4}
    assert (passes.features, passes.head) == (10, 10)
    engine._known.clear()  # what this test compiled must not serve another


def plain_and_compiled(cache: str, split: TorchSplit, x: Tensor) -> list[Tensor]:
    """Scores of the same three copies of each image, as they are and compiled."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache

    def score(each: TorchSplit) -> Tensor:
        return scoring.score_inputs(each, lambda i, n: x[i] * n[:, None, None, None], 3, torch.tensor([0, 1]))

    return [score(replace(split, micro_batch=MicroBatch(4)).with_options(compile=made)) for made in (False, True)]


@pytest.mark.slow
def test_the_real_compiler_gives_the_same_scores(tiny: TorchSplit, tiny_x: Tensor, tmp_path: Path) -> None:
    """In a process of its own, with an empty cache: what compiles may end the process, or find what another left."""
    try:
        check_compile(True, "torch", CPU)
    except CamsbenchError as error:
        pytest.skip(str(error))
    x = tiny_x.expand(2, -1, -1, -1) * torch.tensor([1.0, 0.5]).view(2, 1, 1, 1)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        plain, quick = pool.submit(plain_and_compiled, str(tmp_path), tiny, x).result()
    torch.testing.assert_close(quick, plain)
    assert any(tmp_path.rglob("*.so")) or sys.platform == "win32"


def explained(split: TorchSplit, images: Tensor, target: Tensor | None = None) -> Explained:
    forward = scoring.forward(split, images, target, tuple(range(len(images))))
    return explain(split, GradCAM(), SaliencyRule(), forward)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 6, "substrate": "gaussian_blur"},
        {"steps": 7, "substrate": "black", "rounding": "down", "points": "first"},  # leaves four pixels
        {"steps": 7, "substrate": "image_mean", "order": "cells", "points": "last_and_image"},
    ],
)
def test_curves_equal_the_plain_loop_s(settings: dict[str, object], exact_lite0: TorchSplit, images: Tensor) -> None:
    met = explained(exact_lite0, images[:2].double())
    curves: list[Metric] = [Insertion(**settings), Deletion(**settings)]  # type: ignore[arg-type]
    with count_passes(exact_lite0) as quick:
        got = [curve(met) for curve in curves]
    with count_passes(exact_lite0) as every:
        plain = [curve(replace(met, split=met.split.plain)) for curve in curves]
    points = got[0]["insertion_curve"].shape[1]
    assert every.features == 2 * 2 * points
    spared = 1 if settings.get("rounding") == "down" else 3  # the image once or twice, the bare substrate for deletion
    assert quick.features == every.features - 2 * spared
    for name in ("insertion", "deletion"):
        for key in (name, f"{name}_curve"):
            one, other = ({k: v for found in run for k, v in found.items()}[key] for run in (got, plain))
            torch.testing.assert_close(one, other, rtol=0, atol=EXACT)


def test_methods_share_the_pass_of_the_bare_substrate(lite0: TorchSplit, images: Tensor) -> None:
    first = explained(lite0, images[:3])
    curve = Insertion(steps=2, substrate="black")
    with count_passes(lite0) as passes:
        curve(first)
    assert passes.features == 2 * 3  # the substrate and one step
    second = explain(lite0, ReciproCAM(), SaliencyRule(), first.forward)
    some = explain(lite0, ReciproCAM(), SaliencyRule(), first.forward.select([2, 0]))
    with count_passes(lite0) as passes:
        whole = curve(second)["insertion_curve"]
        chosen = curve(some)["insertion_curve"]
    assert passes.features == 3 + 2  # the step alone
    torch.testing.assert_close(chosen, whole[[2, 0]], rtol=0, atol=1e-6)
    assert replace(first.forward, x=first.forward.x * 2)._once == {}  # other images, other substrates


@pytest.mark.parametrize("kind", SUBSTRATES)
def test_a_substrate_is_made_once(kind: str, lite0: TorchSplit, images: Tensor) -> None:
    forward = scoring.forward(lite0, images[:2], None, (0, 0))
    made = forward.once(kind, lambda: substrate(kind, lite0, forward.x))
    assert forward.once(kind, lambda: substrate(kind, lite0, forward.x)) is made


def test_the_gradient_of_an_average_and_a_linear_layer_needs_no_pass(lite0: TorchSplit, images: Tensor) -> None:
    base = scoring.forward(lite0, images[:3], None, (0, 0, 0))
    with count_passes(lite0) as passes:
        closed = scoring.head_gradient(lite0, base)
    assert passes.head == passes.backward == 0
    with count_passes(lite0) as passes:
        autograd = scoring.head_gradient(lite0.plain, base)
    assert passes.head == passes.backward == 3
    torch.testing.assert_close(closed, autograd, rtol=1e-5, atol=0)
    with count_passes(lite0) as passes:
        scoring.head_gradient(lite0, base, probability=True)
    assert passes.backward == 3  # the softmax's differs from cell to cell of no head, but from image to image
