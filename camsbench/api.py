"""Three calls: a network, its maps, its metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import pandas as pd
import torch
from omegaconf import OmegaConf
from torch import Tensor

from camsbench.config.build import exported_file, load_splits
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import check_methods, check_needs, make_methods, make_metrics
from camsbench.config.runtime import check_compile, copies_dtype, set_precision
from camsbench.core import explained as explaining
from camsbench.core import scoring
from camsbench.core.boxes import clip_boxes
from camsbench.core.explained import Explained, Metric
from camsbench.core.noise import stream_seeds
from camsbench.core.passes import PassOptions
from camsbench.core.saliency import SaliencyRule, size_of
from camsbench.core.targets import Contrast
from camsbench.core.types import Explainer, Split
from camsbench.data.classes import Classes
from camsbench.data.given import (
    GivenTarget,
    Images,
    check_images,
    check_masks,
    check_targets,
    check_truth,
    outside_inference,
)
from camsbench.errors import CamsbenchError
from camsbench.models import backends
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.split import TorchSplit


class LoadOptions(TypedDict, total=False):
    """The types of ``load_model``'s options, whatever the backend."""

    device: str
    seed: int
    micro_batch: int | str
    fold: bool
    repack: bool
    precision: str
    compile: bool
    cache: str | Path | None
    published: str | None
    options: Mapping[str, Any] | None
    ema: bool | None
    output: str | None
    transform: Mapping[str, Any] | None
    classes: str | Path | None
    text: str | Path | None
    scale: float | None
    build: str | None
    file: str | Path | None
    output_name: str | None
    strip: bool | None
    layout: str | None
    grid: Sequence[int] | None
    prefix: int | None


@overload
def load_model(
    name: str = ..., weights: str | None = ..., layer: str | None = ..., **options: Unpack[LoadOptions]
) -> TorchSplit: ...
@overload
def load_model(
    name: str = ..., weights: str | None = ..., layer: str | None = ..., *, backend: str, **options: Unpack[LoadOptions]
) -> TorchSplit | ExportedSplit: ...
def load_model(
    name: str = "efficientnet_lite0",
    weights: str | None = None,
    layer: str | None = None,
    *,
    device: str = "auto",
    seed: int = 0,
    micro_batch: int | str = "auto",
    fold: bool = True,
    repack: bool = True,
    precision: str = "fp32",
    compile: bool = False,
    backend: str = "torch",
    cache: str | Path | None = None,
    published: str | None = None,
    options: Mapping[str, Any] | None = None,
    ema: bool | None = None,
    output: str | None = None,
    transform: Mapping[str, Any] | None = None,
    classes: str | Path | None = None,
    text: str | Path | None = None,
    scale: float | None = None,
    build: str | None = None,
    file: str | Path | None = None,
    output_name: str | None = None,
    strip: bool | None = None,
    layout: str | None = None,
    grid: Sequence[int] | None = None,
    prefix: int | None = None,
) -> TorchSplit | ExportedSplit:
    """A network cut at its target layer. Its arithmetic is fp32, where ``precision`` does not say otherwise.

    Args:
        name: a file of ``conf/model``, or ``timm/NAME`` or ``torchvision/NAME`` for any other network; ``module`` (with
            ``build``), ``checkpoint`` (with ``weights``) or ``onnx`` (with ``file``) for one of your own.
        weights: a published name, a path, or ``random`` (drawn with ``seed``); None takes the YAML's.
        layer: target layer; None takes the YAML's.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.
        micro_batch: perturbed copies scored together, or ``auto``.
        fold: run with each BatchNorm folded into the convolution before it, where no gradient is taken.
        repack: allow a second copy of VGG's first linear layer (411 MB), for ReciproCAM's closed form.
        precision: ``fp32``, or ``tf32`` on CUDA (which sets or clears TF32 for the process); ``bf16``, or ``fp16`` on
            CUDA, for the passes of perturbed copies alone (see ``camsbench.models.compiled``).
        compile: pass perturbed copies through ``torch.compile``, as CUDA graphs on CUDA.
        backend: ``torch``; or ``onnxruntime`` or ``openvino``, on the processor and for methods without gradients.
        cache: where exported networks are kept; None takes the user's cache folder.
        published, options, ema: as ``model.published``, ``model.options`` and ``model.ema``, of weights from a
            path: which published ones they follow, what the constructor needs, whether the averaged ones are meant.
        output: what the outputs are: ``softmax`` (classes that exclude each other), ``labels`` (that may all hold),
            ``binary`` (one logit) or ``value`` (regressed); None takes the YAML's. ``split.asking`` asks further
            targets (``camsbench.core.targets``): ``Contrast``, ``Embedding``, ``Region``.
        transform: fields of ``Preprocess`` in place of what belongs to the weights.
        classes: a file of the classes' names, which ``split.class_names`` gives.
        text, scale: as ``model.text`` and ``model.scale``: a file of text embeddings [C,D], whose cosines with the
            network's outputs, times the scale, are the logits.
        build, file, output_name, strip: as ``model.build``, ``model.file``, ``model.output_name``, ``model.strip``.
        layout, grid, prefix: as ``model.layout``, ``model.grid``, ``model.prefix``: how the layer's output lies, where
            its shape does not show it.

    Raises:
        CamsbenchError: no such network, weights, layer or backend, or a network that cannot be exported.
    """
    group, _, rest = name.partition("/")
    overrides = [f"model={group}", *([f"model.name={rest}"] if rest else [])]
    spec: dict[str, Any] = dict(OmegaConf.to_container(_compose(*overrides).model, resolve=True))  # type: ignore[arg-type]
    given: dict[str, Any] = {"weights": weights, "layer": layer, "published": published, "options": options, "ema": ema}
    given |= {"output": output, "classes": classes, "build": build, "file": file, "output_name": output_name}
    given |= {"layout": layout, "grid": grid, "prefix": prefix}
    given |= {"strip": strip, "text": text, "scale": scale}
    given |= {"transform": {**(spec.get("transform") or {}), **transform} if transform else None}
    spec |= {key: value for key, value in given.items() if value is not None}
    for field, value in spec.items():
        if value == "???":
            remedy = f"as in '{name}/NAME'" if field == "name" else f"as {field}="
            raise CamsbenchError(f"load_model('{name}'): give the network too, {remedy}")
    backend = backends.choose(backend, exported_file(spec) is not None)
    place = backends.choose_place(backend, device)
    dtype, compiles = copies_dtype(precision, backend, place), check_compile(compile, backend, place)
    passes = PassOptions(fold=fold, repack=repack, copies_dtype=dtype, compile=compiles)
    set_precision(precision)
    with torch.inference_mode(mode=False):
        kept = Path(cache).expanduser() if cache else None
        where: dict[str, Any] = {"device": place, "seed": seed, "micro_batch": micro_batch}
        cuts = load_splits(spec, {}, passes, backend=backend, cache=kept, **where)[:1]
        return backends.move_to(backend, cuts, kept)[0]


def explain(
    method: str | Explainer,
    split: Split,
    x: Images,
    target: GivenTarget = None,
    *,
    ids: Sequence[str] | None = None,
    seed: int = 0,
    protocol: str = "rise",
) -> Tensor:
    """Saliency [B,1,H,W] in [0,1] of normalised images ``x`` [B,C,H,W] under a method, on the split's device.

    A map that holds NaN or infinity gives a saliency of NaN.

    Args:
        method: a file of ``conf/method``, or an explainer.
        target: class index, or one an image; where its classes have names also these, for ImageNet's
            also wnids. None takes the predicted
            class.
        ids: image ids, which key the random streams; None gives every image the same stream, so that
            ``explain(x)[i]`` equals ``explain(x[i:i+1])``.
        seed: seed of the random streams.
        protocol: a file of ``conf/protocol``; it says how a raw map becomes a saliency.

    Raises:
        CamsbenchError: an unknown name, a method that asks more than the split provides, shapes that do not fit, or
            images that hold NaN or infinity.
    """
    explained = _explained(method, split, x, target, ids, seed, protocol)
    return torch.where(explained.finite[:, None, None, None], explained.saliency, torch.nan)


def evaluate(
    method: str | Explainer,
    split: Split,
    x: Images,
    target: GivenTarget = None,
    *,
    metrics: Sequence[str | Metric] = ("drop", "increase", "insertion", "deletion", "coherency", "complexity", "adcc"),
    ids: Sequence[str] | None = None,
    seed: int = 0,
    protocol: str = "rise",
    boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    masks: Images | None = None,
    truth: Images | None = None,
) -> pd.DataFrame:
    """One row an image: target, probability, the metrics' columns in [0,1], seconds, degenerate.

    The metrics of an image whose map or probability holds NaN or infinity are NaN.

    Arguments as in ``explain``; ``metrics`` are files of ``conf/metric`` or metric objects. ``boxes`` holds, for each
    image, a list (perhaps empty) of boxes (xmin, ymin, xmax, ymax) in pixels of ``x``, for the metrics that need them;
    ``masks`` [B,H,W], bool, its object's pixels, perhaps none. A pixel in either is the object's. What is measured of
    boxes alone takes an image's boxes, and without any the box around its mask. ``truth`` [B,H,W], float, is the share
    of each pixel in the evidence, NaN in an image of which nobody knows it.

    Raises:
        CamsbenchError: as ``explain``.
    """
    chosen = [_metric(metric, protocol) if isinstance(metric, str) else metric for metric in metrics]
    check_needs(dict(zip(map(str, metrics), chosen, strict=True)), split.provides, split.asked, "metric")
    result = _explained(method, split, x, target, ids, seed, protocol, boxes, masks, truth)
    with torch.inference_mode(mode=False):
        columns, _ = explaining.measure(chosen, result)
    return pd.DataFrame(
        {
            "image_id": list(ids) if ids is not None else [str(i) for i in range(len(x))],
            "target": result.forward.target.tolist(),
            "probability": result.forward.probability.tolist(),
            **{name: values.tolist() for name, values in columns.items()},
            "seconds": result.seconds / len(x),
            "degenerate": result.degenerate.tolist(),
        }
    )


def _explained(
    method: str | Explainer,
    split: Split,
    x: Images,
    target: GivenTarget,
    ids: Sequence[str] | None,
    seed: int,
    protocol: str,
    boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    masks: Images | None = None,
    truth: Images | None = None,
) -> Explained:
    x = check_images(x, split.preprocess.channels)
    if ids is not None and len(ids) != len(x):
        raise CamsbenchError(f"ids has {len(ids)} entries for {len(x)} images: give one an image")
    known = () if boxes is None else clip_boxes(boxes, len(x), *size_of(x))
    explainer = _method(method) if isinstance(method, str) else method
    check_needs({str(method): explainer}, split.provides, split.asked)
    check_methods({str(method): explainer}, [split])
    rule = _rule(protocol)
    seeds = stream_seeds(seed, ids if ids is not None else [""] * len(x))
    with torch.inference_mode(mode=False):  # a gradient may follow, whatever the caller's mode
        images = outside_inference(x).detach().to(split.device, getattr(split, "dtype", torch.float32))
        forward = scoring.forward(split, images, check_targets(target, images, Classes.of(split)), seeds)
        if isinstance(split.asked, Contrast) and (forward.target == split.asked.other).any():
            raise CamsbenchError(f"target {split.asked.other} is what the others are compared with: give another class")
        pixels = None if masks is None else check_masks(masks, x).to(split.device)
        shares = None if truth is None else check_truth(truth, x).to(split.device)
        known_of = replace(forward, boxes=known, masks=pixels, outlines=known, truth=shares)
        return explaining.explain(split, explainer, rule, known_of)


@lru_cache
def _compose(*overrides: str) -> Any:
    try:
        return compose_config(overrides)
    except Exception as error:  # Hydra's own sentences name the choices
        raise CamsbenchError(" ".join(str(error).split())) from error


@lru_cache
def _rule(protocol: str) -> SaliencyRule:
    return SaliencyRule(**_compose(f"protocol={protocol}").protocol.saliency)


@lru_cache
def _method(name: str) -> Explainer:
    return _one("method", name, make_methods(_compose(f"method={name}")))


@lru_cache
def _metric(name: str, protocol: str) -> Metric:
    return _one("metric", name, make_metrics(_compose(f"metric={name}", f"protocol={protocol}")))


def _one(group: str, name: str, made: dict[str, Any]) -> Any:
    if name not in made:
        raise CamsbenchError(f"{group} {name} stands for several: give one of {', '.join(made)}")
    return made[name]
