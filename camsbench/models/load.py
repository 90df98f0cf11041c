"""Networks by name: torchvision's, timm's, and the embedded one, cut and ready on a device."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import timm
import torch
import torchvision
from torch import nn

from camsbench.core.passes import MicroBatch, Passes, PassOptions
from camsbench.core.preprocess import Preprocess
from camsbench.errors import CamsbenchError
from camsbench.models.split import TorchSplit, check_range, cut
from camsbench.models.weights import ModelSpec, fill, state_dict


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

    The splits count their passes together. ``transform`` overrides fields of the network's own preprocessing, as a
    protocol may.

    Raises:
        CamsbenchError: no such network or weights, weights that do not fit, or a layer that cannot be cut.
    """
    model = _construct(spec, seed)
    if spec.weights != "random":
        fill(model, state_dict(spec), spec)
    model.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    own = dict(spec.transform) if spec.transform else _published_transform(spec)
    preprocess = Preprocess(**{**own, **(transform or {})})
    layers = [spec.layer] if spec.layer is None or isinstance(spec.layer, str) else list(spec.layer)
    if not layers or len(set(layers)) < len(layers):
        raise CamsbenchError(f"model.layer={layers}: name one layer or several different ones")
    budget = MicroBatch.of(micro_batch, device)
    splits = [cut(model, layer, preprocess, name=spec.name, micro_batch=budget, options=options) for layer in layers]
    for split in splits:
        check_range(split)
    passes = Passes()
    return [replace(split, passes=passes) for split in splits]


def _construct(spec: ModelSpec, seed: int) -> nn.Module:
    names = {"torchvision": torchvision.models.list_models, "timm": timm.list_models}
    if spec.source not in names:
        raise CamsbenchError(f"model.source={spec.source}: choose torchvision or timm")
    base = spec.name.split(".")[0] if spec.source == "timm" else spec.name
    known = names[spec.source]()
    if base not in known:
        near = difflib.get_close_matches(base, known, 4) or ["(none is near)"]
        raise CamsbenchError(f"model.name={spec.name}: {spec.source} has no such network; near: {', '.join(near)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if spec.source == "timm":
            try:
                return timm.create_model(spec.name, pretrained=False)
            except RuntimeError as error:  # an unknown tag behind the dot
                tags = timm.list_pretrained(f"{base}.*")[:4]
                raise CamsbenchError(f"model.name={spec.name}: {error}; try {', '.join(tags) or base}") from error
        options = {"init_weights": True} if spec.name in {"googlenet", "inception_v3"} else {}
        return torchvision.models.get_model(spec.name, weights=None, **options)


def _published_transform(spec: ModelSpec) -> dict[str, Any]:
    if spec.source == "torchvision":
        published = torchvision.models.get_model_weights(spec.name)
        preset = published[spec.weights if spec.weights in published.__members__ else "DEFAULT"].transforms()
        return {
            "resize": preset.resize_size[0],
            "crop": preset.crop_size[0],
            "interpolation": preset.interpolation.value,
            "mean": preset.mean,
            "std": preset.std,
        }
    data = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(spec.name).to_dict())
    side = data["input_size"][-1]
    return {
        "resize": math.floor(side / data["crop_pct"]),
        "crop": side,
        "interpolation": data["interpolation"],
        "mean": data["mean"],
        "std": data["std"],
    }
