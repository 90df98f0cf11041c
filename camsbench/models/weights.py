"""A network's weights: published, from a package, from a file; and their hash."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from camsbench.errors import CamsbenchError
from camsbench.models.checkpoint import Checkpoint, as_built, read_file

REMEDY = "give model.weights=PATH or model.weights=random"


@dataclass(frozen=True)
class ModelSpec:
    """One network, as ``conf/model/*.yaml`` describes it.

    Args:
        name: the constructor's name in ``source``; of other sources, what rows call the network.
        source: ``torchvision`` or ``timm``; ``module`` (a function of one's own), ``checkpoint`` (a network that
            torch.export or TorchScript wrote) or ``onnx``.
        weights: a published name, a path, or ``random``; ``built`` for those that the function ``build`` gives.
        layer: target layer, or several; None takes the last at which all of the image still counts.
        layout: how its output lies (``camsbench.models.layout.KINDS``), with the ``grid`` of its tokens and the
            number ``prefix`` of those before; None: what its shape shows.
        fuse: ``mean`` averages the saliencies of several layers; None keeps a row a layer.
        top1: published accuracy in percent, where there is one.
        transform: fields of ``Preprocess``, in place of what belongs to the published weights.
        published: the published weights that ``transform`` and ``top1`` belong to, and that a file of one's own
            follows in construction and preprocessing; None where ``weights`` says it.
        options: of the constructor, such as ``num_classes`` for a file of other classes.
        ema: whether a checkpoint that holds both gives its averaged weights (EMA) or its plain ones.
        output: what the outputs are, and so what is asked of them (``camsbench.core.targets.OUTPUTS``).
        classes: a file of the classes' names; None takes those that a checkpoint holds, if any.
        text: a file of the classes' text embeddings, whose cosines with the network's outputs are the logits.
        scale: what multiplies these cosines; None takes what the file says, or 100.
        build: for ``source: module``, the function that builds the network, ``package.module:function``.
        file: for ``source: onnx``, the file.
        output_name: for ``source: onnx``, which of several outputs are the logits.
        strip: for ``source: onnx``, whether a softmax or sigmoid at the end is taken off.
        package: for ``weights: package``, the importable ``name``, its ``distribution`` and the ``file`` in it.
    """

    name: str
    source: str
    weights: str
    layer: str | int | Sequence[str | int] | None = None
    fuse: str | None = None
    layout: str | None = None
    grid: Sequence[int] | None = None
    prefix: int | None = None
    top1: float | None = None
    transform: Mapping[str, Any] | None = None
    package: Mapping[str, str] = field(default_factory=dict)
    published: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    ema: bool | None = None
    output: str = "softmax"
    classes: str | None = None
    text: str | None = None
    scale: float | None = None
    build: str | None = None
    file: str | None = None
    output_name: str | None = None
    strip: bool = False


def state_dict(spec: ModelSpec) -> Mapping[str, Tensor]:
    """The tensors that ``spec.weights`` names; see ``read_weights``."""
    return read_weights(spec).state


def read_weights(spec: ModelSpec) -> Checkpoint:
    """The tensors that ``spec.weights`` names, and what a file holds beside them.

    Raises:
        CamsbenchError: they cannot be found, downloaded or read; the sentence names where to put them.
    """
    if spec.weights == "package":
        return _read(_packaged(spec), spec)
    if is_path(spec.weights):
        return _read(Path(spec.weights).expanduser(), spec)
    return Checkpoint(_from_torchvision(spec) if spec.source == "torchvision" else _from_timm(spec))


def layers_of(spec: ModelSpec) -> list[str | None]:
    """The layers to cut at; None stands for the last feature map.

    Raises:
        CamsbenchError: there is none, or one stands there twice.
    """
    asked = [spec.layer] if spec.layer is None or isinstance(spec.layer, str | int) else list(spec.layer)
    layers = [None if layer is None else str(layer) for layer in asked]
    if not layers or len(set(layers)) < len(layers):
        raise CamsbenchError(f"model.layer={layers}: name one layer or several different ones")
    return layers


def check_file(path: Path, spec: ModelSpec) -> None:
    """Refuse a file that is not there."""
    if not path.is_file():
        raise CamsbenchError(f"model.weights={spec.weights}: there is no file {path}; {REMEDY}")


def _read(path: Path, spec: ModelSpec) -> Checkpoint:
    check_file(path, spec)
    try:
        return read_file(path, spec.ema)
    except CamsbenchError as error:
        raise CamsbenchError(f"model.weights={spec.weights}: {error}") from error
    except Exception as error:  # unpickling raises many kinds
        raise CamsbenchError(
            f"model.weights={spec.weights}: {path} is no readable state dict ({type(error).__name__}); "
            "save one with torch.save(model.state_dict(), PATH)"
        ) from error


def _packaged(spec: ModelSpec) -> Path:
    found = importlib.util.find_spec(spec.package["name"]) if spec.package else None
    if found is None or not found.submodule_search_locations:
        distribution = spec.package.get("distribution", "that holds the weights")
        raise CamsbenchError(
            f"model.weights=package: the Python package {distribution} is not installed; "
            f"pip install 'camsbench[demo]', or {REMEDY}"
        )
    return Path(found.submodule_search_locations[0]) / spec.package["file"]


def _from_torchvision(spec: ModelSpec) -> Mapping[str, Tensor]:
    published = torchvision.models.get_model_weights(spec.name)
    if spec.weights not in published.__members__:
        names = ", ".join(published.__members__)
        raise CamsbenchError(f"model.weights={spec.weights}: {spec.name} has {names}, a path, or random")
    weights = published[spec.weights]
    try:
        return weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # no network: urllib, ssl and socket raise different kinds
        cache = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
        raise CamsbenchError(
            f"model.weights={spec.weights}: could not download the weights of {spec.name} ({type(error).__name__}): "
            f"download {weights.url} elsewhere and put it at {cache}, or {REMEDY}"
        ) from error


def check_timm_name(spec: ModelSpec) -> None:
    """Refuse a name of weights that timm's networks do not have."""
    if spec.weights not in {"pretrained", "random", "package"} and not is_path(spec.weights):
        raise CamsbenchError(f"model.weights={spec.weights}: a timm network has pretrained, a path, or random")


def tagged(spec: ModelSpec) -> str:
    """The network's name in timm, with the tag that its name or ``model.published`` has; tags may differ in classes."""
    unsaid = "." not in spec.name and spec.published not in {None, "package"}
    return f"{spec.name}.{spec.published}" if unsaid else spec.name


def _from_timm(spec: ModelSpec) -> Mapping[str, Tensor]:
    check_timm_name(spec)
    config = timm.get_pretrained_cfg(tagged(spec))
    where = config and (config.hf_hub_id or config.url)
    if not where:
        raise CamsbenchError(f"model.name={spec.name}: timm has no pretrained weights for it; {REMEDY}")
    try:
        return timm.create_model(tagged(spec), pretrained=True).state_dict()
    except Exception as error:  # no network: the hub's client raises many kinds
        raise CamsbenchError(
            f"model.weights=pretrained: could not download the weights of {spec.name} ({type(error).__name__}): "
            f"download {where} elsewhere and give model.weights=PATH, or model.weights=random"
        ) from error


def is_path(weights: str) -> bool:
    """Whether ``model.weights`` names a file rather than published weights."""
    path = Path(weights).expanduser()
    return bool(path.suffix) or "/" in weights or path.is_file()


def fill(model: nn.Module, state: Mapping[str, Tensor], spec: ModelSpec) -> None:
    """Load ``state`` into ``model``.

    Raises:
        CamsbenchError: it belongs to another network.
    """
    own = model.state_dict()
    state = as_built(state, own)
    if spec.weights == "package" and [v.shape for v in state.values()] == [v.shape for v in own.values()]:
        state = dict(zip(own, state.values(), strict=True))  # the package names the same tensors otherwise, in order
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except (RuntimeError, ValueError) as error:
        first = str(error).splitlines()[-1].strip().rstrip(".")
        raise CamsbenchError(
            f"model.weights={spec.weights} does not fit {spec.name} ({first}); choose the network it was saved from"
        ) from error
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise CamsbenchError(
            f"model.weights={spec.weights} does not fit {spec.name}: "
            f"missing {_some(missing)}, unexpected {_some(unexpected)}; choose the network it was saved from"
        )


def _some(keys: Sequence[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "") if keys else "nothing"


def weight_hash(model: nn.Module) -> str:
    """First 16 hex digits of the SHA-256 over all tensors of the state dict, in order."""
    digest = hashlib.sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def checksum(model: nn.Module) -> Tensor:
    """A sum [1] over the bits of all parameters and buffers, on their device: cheap enough to ask again and again."""
    bits = [tensor.detach().flatten().view(torch.uint8) for tensor in (*model.parameters(), *model.buffers())]
    if not bits:
        return torch.zeros(1, dtype=torch.int64)
    return torch.stack([_words(each).sum(dtype=torch.int64) for each in bits]).sum(0, keepdim=True)


def _words(bits: Tensor) -> Tensor:
    return bits.view(torch.int32) if len(bits) % 4 == 0 and bits.storage_offset() % 4 == 0 else bits
