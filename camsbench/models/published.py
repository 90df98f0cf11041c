"""What goes with published weights: how the network is built for them, and what it expects of a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import timm.data
import torchvision

from camsbench.errors import CamsbenchError
from camsbench.models.recognised import recognise
from camsbench.models.transforms import ALL_FIELDS, settles
from camsbench.models.weights import ModelSpec, check_file, check_timm_name, is_path, tagged

# What the libraries' builders set where they load published weights, and what no tensor of a file shows.
UNSEEN: dict[tuple[str, str], Mapping[str, Any]] = {
    ("torchvision", "googlenet"): {"transform_input": True},
    ("torchvision", "inception_v3"): {"transform_input": True},
    ("timm", "fbnetc_100"): {"bn_eps": 1e-3},
}


@dataclass(frozen=True)
class Published:
    """What goes with a network's weights: the constructor's ``options``, the fields of ``Preprocess``, classes' names.

    ``name`` is None where nothing says which published weights they are, and all that are published agree.
    """

    name: str | None
    transform: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()  # that a checkpoint holds


def published(spec: ModelSpec) -> Published:
    """What goes with the weights of ``spec``: those that ``weights`` names, or that its file is or follows.

    A file is one of torchvision's where the first digits of its SHA-256 are those of the name that torchvision gave
    it; any other file follows the weights of ``model.published``, or, without it, what all published weights share.

    Raises:
        CamsbenchError: there are no such weights, they have no classifier, they are not those of ``model.published``,
            or a file could follow several that differ.
    """
    found = _of_torchvision(spec) if spec.source == "torchvision" else _of_timm(spec)
    unsaid = sorted(set(_unseen(spec)) - set(spec.options))
    if found.name is None and is_path(spec.weights) and unsaid:
        check_file(Path(spec.weights).expanduser(), spec)
        raise CamsbenchError(
            f"model.weights={spec.weights}: this file is none that is published, and does not say whether it was "
            f"trained with {unsaid[0]}={_unseen(spec)[unsaid[0]]}, as {spec.name}'s published weights were: give "
            f"model.published={_names(spec)[0]} where it follows them, or ++model.options.{unsaid[0]}=VALUE"
        )
    declared = _declared(spec)
    if spec.weights != "random" and declared is not None and found.name != declared:
        raise CamsbenchError(
            f"model.weights={spec.weights}: these are the weights {found.name} of {spec.name}, and model.published, "
            f"preprocessing and accuracy are those of {declared}: use model={spec.source} model.name={spec.name}"
        )
    return found


def _unseen(spec: ModelSpec) -> Mapping[str, Any]:
    return UNSEEN.get((spec.source, _base(spec)), {})


def _declared(spec: ModelSpec) -> str | None:
    """``model.published``, never under an alias."""
    if spec.published is None or spec.source != "torchvision":
        return spec.published
    return str(_member(spec, "published", spec.published).name)


def _base(spec: ModelSpec) -> str:
    return spec.name.split(".")[0]


def _names(spec: ModelSpec) -> list[str]:
    """The published weights of a network, as ``model.published`` names them."""
    if spec.source == "torchvision":
        return list(dict.fromkeys(member.name for member in torchvision.models.get_model_weights(spec.name)))
    return [name.partition(".")[2] for name in timm.list_pretrained(f"{_base(spec)}.*")]


def _of_torchvision(spec: ModelSpec) -> Published:
    if spec.weights == "random":
        found = _of_member(_member(spec, "published", spec.published or "DEFAULT"), spec)
        return Published(None, found.transform, found.options if spec.published else {})
    if not is_path(spec.weights):
        return _of_member(_member(spec, "weights", spec.weights), spec)
    name = recognise(Path(spec.weights).expanduser(), spec.name) or spec.published
    if name is not None:
        return _of_member(_member(spec, "published", name), spec)
    candidates = [
        _of_member(member, spec)
        for member in torchvision.models.get_model_weights(spec.name)
        if member.meta["categories"]
    ]
    return Published(None, *_shared(candidates, spec))


def _member(spec: ModelSpec, option: str, name: str) -> Any:
    """The published weights of that name; DEFAULT is an alias of one of the others."""
    members = torchvision.models.get_model_weights(spec.name).__members__
    if name not in members:
        more = ", a path, or random" if option == "weights" else ""
        raise CamsbenchError(f"model.{option}={name}: {spec.name} has {', '.join(members)}{more}")
    return members[name]


def _of_member(member: Any, spec: ModelSpec) -> Published:
    if not member.meta["categories"]:
        raise CamsbenchError(
            f"model.weights={spec.weights}: {member.name} of {spec.name} are features without a classifier; "
            "choose other weights"
        )
    options = dict(_unseen(spec))
    if spec.name.startswith("vit_"):
        options["image_size"] = member.meta["min_size"][0]
    return Published(member.name, _preset(member), options)


def _preset(member: Any) -> dict[str, Any]:
    preset = member.transforms()
    return {
        "resize": preset.resize_size[0],
        "crop": preset.crop_size[0],
        "interpolation": preset.interpolation.value,
        "mean": preset.mean,
        "std": preset.std,
    }


def _of_timm(spec: ModelSpec) -> Published:
    check_timm_name(spec)
    base = _base(spec)
    known = _names(spec)
    name = tagged(spec)
    tag = name.partition(".")[2]
    if tag and tag == spec.published and tag not in known:
        raise CamsbenchError(f"model.published={tag}: {base} has {', '.join(known) or 'no published weights'}")
    if spec.weights in {"random", "package"}:
        return Published("package" if spec.weights == "package" else None, _own_or_config(spec, name))
    if is_path(spec.weights) and not tag:
        if spec.published is not None:  # the package that the YAML names
            return Published(spec.published, _own_or_config(spec, name), _unseen(spec))
        if not known:
            return Published(None, _own_or_config(spec, base))
        return Published(
            None, *_shared([Published(each, _own_or_config(spec, f"{base}.{each}")) for each in known], spec)
        )
    config = timm.get_pretrained_cfg(name)
    tag = tag or (config.tag if config is not None else "") or ""
    return Published(tag or None, _own_or_config(spec, f"{base}.{tag}" if tag else base), _unseen(spec))


def _own_or_config(spec: ModelSpec, name: str) -> dict[str, Any]:
    return dict(spec.transform or {}) if settles(spec.transform) else _data_config(name)


def _data_config(name: str) -> dict[str, Any]:
    """What timm's ``create_transform`` does for evaluation, as fields of ``Preprocess``."""
    config = timm.get_pretrained_cfg(name)
    data = timm.data.resolve_data_config(pretrained_cfg=config.to_dict() if config is not None else {})
    channels, height, width = data["input_size"]
    if height != width or channels != 3:
        raise CamsbenchError(
            f"model.name={name}: its input is {channels}x{height}x{width} in timm, of which only square colour images "
            f"are prepared as timm does; choose another network, or give {ALL_FIELDS}"
        )
    side = math.floor(height / data["crop_pct"])
    resize = {"center": side, "squash": [side, side]}.get(data["crop_mode"])
    if resize is None:
        raise CamsbenchError(
            f"model.name={name}: timm prepares its pictures with crop_mode={data['crop_mode']}, which is not "
            f"supported; choose another network, or give {ALL_FIELDS}"
        )
    return {"resize": resize, "crop": height, **{key: data[key] for key in ("interpolation", "mean", "std")}}


def _shared(candidates: list[Published], spec: ModelSpec) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Transform and options in which all candidates agree, a model's own transform in place of the former."""
    first = candidates[0]
    same_options = all(each.options == first.options for each in candidates)
    # tensors show what else the constructor needs: a file that does not fit is refused
    options = {k: v for k, v in first.options.items() if k not in _unseen(spec)} if same_options else {}
    if settles(spec.transform):
        return {}, options
    own = spec.transform or {}
    if not same_options or any({**each.transform, **own} != {**first.transform, **own} for each in candidates):
        check_file(Path(spec.weights).expanduser(), spec)
        raise CamsbenchError(
            f"model.weights={spec.weights}: this file is none that is published, and the published weights of "
            f"{spec.name} differ in their preprocessing: say with model.published= which it follows, one of "
            f"{', '.join(str(each.name) for each in candidates)}; or give all of {ALL_FIELDS}"
        )
    return first.transform, options
