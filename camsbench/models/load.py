"""Networks by name, of a function's making or out of an exported file, cut and ready on a device."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import timm
import torch
import torchvision
from torch import nn

from camsbench.core.passes import MicroBatch, Passes, PassOptions
from camsbench.core.targets import target_of
from camsbench.errors import CamsbenchError
from camsbench.models.fitting import shape_options
from camsbench.models.layout import asked_layout
from camsbench.models.module import build_module
from camsbench.models.names import choose_names
from camsbench.models.planted.build import build_planted
from camsbench.models.program import check_program, load_program
from camsbench.models.published import Published, published
from camsbench.models.split import TorchSplit, check_range, cut
from camsbench.models.suitable import check_model
from camsbench.models.text import read_text
from camsbench.models.transforms import preprocess_of
from camsbench.models.weights import ModelSpec, fill, is_path, layers_of, read_weights, tagged
from camsbench.models.zeroshot import classify_by

OTHERS: dict[str, Callable[[ModelSpec, int], tuple[nn.Module, Published]]] = {
    "module": build_module,
    "checkpoint": load_program,
    "planted": build_planted,
}


def load_network(
    spec: ModelSpec,
    options: PassOptions,
    *,
    device: torch.device,
    seed: int = 0,
    micro_batch: int | str = "auto",
    transform: Mapping[str, Any] | None = None,
) -> list[TorchSplit]:
    """Build a network with its weights on ``device`` and cut it at its target layers, one split each.

    The splits count their passes together. ``transform`` overrides fields of the network's preprocessing, as a
    protocol may, and those of ``spec.transform`` what belongs to its weights. With ``spec.text`` the network gives
    embeddings, and the splits logits.

    Raises:
        CamsbenchError: no such network or weights, weights or text that do not fit, or a layer that cannot be cut.
    """
    text = read_text(spec)
    model, found = build_network(spec, seed)
    _place(model, device)
    preprocess = preprocess_of(_said(spec), found.transform, spec.transform, transform)
    if spec.source == "checkpoint":
        check_program(model, preprocess, spec)
    if text is not None:
        model, found = classify_by(text, model, preprocess, spec), replace(found, class_names=text.names)
    budget = MicroBatch.of(micro_batch, device)
    target, layout = target_of(spec.output), asked_layout(spec.layout, spec.grid, spec.prefix)
    splits = [
        cut(model, layer, preprocess, name=spec.name, micro_batch=budget, options=options, asked=target, layout=layout)
        for layer in layers_of(spec)
    ]
    for split in splits:
        check_range(split)
    names = choose_names(spec.classes, found.class_names, splits[0].num_classes)
    shared: dict[str, Any] = {"passes": Passes(), "class_names": names}
    if spec.source == "checkpoint":
        shared["provides"] = frozenset({"gradient"})  # its graph has operators, no modules to hook
    return [replace(split, **shared) for split in splits]


def _said(spec: ModelSpec) -> str:
    """The network, as the command line names it."""
    options = {"module": f"model.build={spec.build}", "checkpoint": f"model.weights={spec.weights}"}
    options["planted"] = "model=planted"
    return options.get(spec.source, f"model.name={spec.name}")


def build_network(spec: ModelSpec, seed: int = 0) -> tuple[nn.Module, Published]:
    """The network of ``spec`` as its weights expect it, in evaluation mode and without gradients, and what they are.

    Raises:
        CamsbenchError: no such network or weights, no classifier, or weights that do not fit.
    """
    if spec.source in OTHERS:
        model, found = OTHERS[spec.source](spec, seed)
    else:
        model, found = _of_library(spec, seed)
    check_model(model, spec.name, spec.text is not None)
    return model.requires_grad_(False).eval(), found


def _of_library(spec: ModelSpec, seed: int) -> tuple[nn.Module, Published]:
    _check_name(spec)
    found = published(spec)
    options = _options(spec, found)
    model = _construct(spec, seed, options)
    check_model(model, spec.name, spec.text is not None)  # before its weights are downloaded
    if spec.weights == "random":
        return model, found
    held = read_weights(spec)
    if is_path(spec.weights) and (fitting := shape_options(model, held.state, spec)):
        model = _construct(spec, seed, {**options, **fitting})
    fill(model, held.state, spec)
    return model, replace(found, class_names=held.class_names)


def _place(model: nn.Module, device: torch.device) -> None:
    """Move ``model`` to ``device``, convolutions' weights channels last; ``Module.to`` would refuse 5-D ones."""
    model.to(device)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)


def _construct(spec: ModelSpec, seed: int, options: Mapping[str, Any]) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if spec.source == "timm":
                return timm.create_model(tagged(spec), pretrained=False, **options)
            return torchvision.models.get_model(spec.name, weights=None, **options)
    except (TypeError, RuntimeError) as error:
        if not spec.options:
            raise
        said = str(error).splitlines()[0]
        raise CamsbenchError(
            f"model.options: {spec.name} cannot be built with {dict(spec.options)} ({said})"
        ) from error


def _options(spec: ModelSpec, found: Published) -> dict[str, Any]:
    """What the constructor is given."""
    options: dict[str, Any] = {}
    if spec.source == "torchvision" and spec.name in {"googlenet", "inception_v3"}:
        options["init_weights"] = spec.weights == "random"
        if spec.weights != "random":
            options["aux_logits"] = False  # of training alone
    return {**options, **found.options, **spec.options}


def _check_name(spec: ModelSpec) -> None:
    """Refuse what is no network of ``source``, or no classifier of images."""
    if spec.source not in {"torchvision", "timm"}:
        raise CamsbenchError(
            f"model.source={spec.source}: choose torchvision or timm, or module, checkpoint or onnx for one of your own"
        )
    base, _, tag = spec.name.partition(".") if spec.source == "timm" else (spec.name, "", "")
    known = timm.list_models() if spec.source == "timm" else torchvision.models.list_models(torchvision.models)
    if base not in known:
        other = "" if spec.source == "timm" else _other_task(base)
        if other:
            raise CamsbenchError(
                f"model.name={base}: this is one of torchvision's {other} networks, not a classifier of images; choose "
                "one of its classifiers"
            )
        near = difflib.get_close_matches(base, known, 4) or ["(none is near)"]
        raise CamsbenchError(f"model.name={spec.name}: {spec.source} has no such network; near: {', '.join(near)}")
    if tag:
        try:
            timm.get_pretrained_cfg(spec.name)
        except RuntimeError as error:  # an unknown tag behind the dot
            tags = timm.list_pretrained(f"{base}.*")[:4]
            raise CamsbenchError(
                f"model.name={spec.name}: {str(error).rstrip('.')}; try {', '.join(tags) or base}"
            ) from error


def _other_task(name: str) -> str:
    """What a network of torchvision is for that is no classifier of images; empty where there is none."""
    for task in ("segmentation", "detection", "optical_flow", "video", "quantization"):
        if name in torchvision.models.list_models(getattr(torchvision.models, task)):
            return {"optical_flow": "optical-flow", "quantization": "quantized"}.get(task, task)
    return ""
