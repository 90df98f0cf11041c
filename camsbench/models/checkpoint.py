"""State dicts out of files: which of a checkpoint's, and under the names that networks have today."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm.models
import torch
from torch import Tensor

from camsbench.errors import CamsbenchError
from camsbench.models.names import held_names

AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "swa_state_dict", "swa_model")
PLAIN = ("state_dict", "model", "model_state_dict")
COUNTS = {"n_averaged"}  # of torch's AveragedModel
TRAINING = ("aux1.", "aux2.", "AuxLogits.")  # heads of GoogLeNet and Inception v3 that only training uses
WRAPPED = re.compile(r"^((_orig_mod|module)(\.|$))+")  # by torch.compile, or for several devices
OLD_DENSE = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")  # torchvision's files of DenseNet


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: a network's tensors, and the names of its classes where they lie beside them."""

    state: Mapping[str, Tensor]
    class_names: tuple[str, ...] = ()


def read_file(path: Path, ema: bool | None) -> Checkpoint:
    """A file's tensors, as ``read_checkpoint`` chooses them, and its classes' names."""
    held = _load(path)
    return Checkpoint(_chosen(held, ema), held_names(held))


def read_checkpoint(path: Path, ema: bool | None) -> Mapping[str, Tensor]:
    """The tensors of a file: a state dict, or a checkpoint that holds one under a usual key.

    Raises:
        CamsbenchError: it holds averaged weights beside plain ones and ``ema`` does not say which, or not those that
            ``ema`` asks for, or several plain ones.
    """
    return _chosen(_load(path), ema)


def _chosen(held: Any, ema: bool | None) -> Mapping[str, Tensor]:
    averaged, plain = (
        [key for key in keys if isinstance(held.get(key), Mapping) and held[key]] for keys in (AVERAGED, PLAIN)
    )
    if averaged and plain and ema is None:
        raise CamsbenchError(
            f"the file holds averaged weights ({averaged[0]}) and plain ones ({plain[0]}): say which with "
            "model.ema=true or model.ema=false"
        )
    if ema is not None and (averaged or plain) and not (averaged if ema else plain):
        raise CamsbenchError(
            f"the file holds no {'averaged' if ema else 'plain'} weights, only {(averaged or plain)[0]}: leave out "
            "model.ema"
        )
    chosen = averaged if averaged and ema is not False else plain
    if len(chosen) > 1:
        raise CamsbenchError(
            f"the file holds several state dicts ({', '.join(chosen)}): save the one to use with torch.save(..., PATH)"
        )
    state = held[chosen[0]] if chosen else held
    clean = timm.models.clean_state_dict({key: value for key, value in state.items() if key not in COUNTS})
    return _with_versions(clean, state)


def _load(path: Path) -> Any:
    if path.suffix == ".safetensors":
        return timm.models.load_state_dict(str(path))
    allow = getattr(torch.serialization, "safe_globals", None)  # PyTorch 2.4 has none
    with allow([argparse.Namespace]) if allow else nullcontext():  # training scripts keep it beside the weights
        return torch.load(path, map_location="cpu", weights_only=True)


def as_built(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """``state`` under the names of the network whose state dict is ``own``, without heads that only training uses."""
    renamed = {OLD_DENSE.sub(r"\1\2", key): value for key, value in state.items()}
    kept = {key: value for key, value in renamed.items() if key in own or not key.startswith(TRAINING)}
    return _with_versions(kept, state)


def _with_versions(state: dict[str, Tensor], source: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """With the versions that modules wrote into ``source``, as MNASNet asks for its own."""
    versioned = OrderedDict(state)
    if (versions := getattr(source, "_metadata", None)) is not None:
        versioned._metadata = {WRAPPED.sub("", name): each for name, each in versions.items()}  # type: ignore[attr-defined]
    return versioned
