"""Text embeddings of the classes' prompts out of a file, as ``model.text`` names it, and what lies beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm.models
import torch
from torch import Tensor

from camsbench.errors import CamsbenchError
from camsbench.models.names import check_names, in_order
from camsbench.models.weights import ModelSpec

MATRIX = ("text", "text_features", "embeddings", "arr_0")  # the last is numpy's for a matrix that is saved alone
SCALE, LOG_SCALE = "scale", "logit_scale"  # the latter, CLIP's own parameter, is the logarithm
BIAS = ("bias", "logit_bias")
NAMES = "names"
CLIPS = 100.0  # where CLIP clips its scale
LARGEST_LOG = 7.0  # a scale of 1097: what is larger is no logarithm
SUFFIXES = ".npy, .npz, .pt, .pth or .safetensors"
FORM = f"a matrix [C,D], a row a class, alone or as {', '.join(MATRIX[:2])} or {MATRIX[2]}, in a file {SUFFIXES}"


@dataclass(frozen=True)
class Text:
    """The classes of a zero-shot network: their text embeddings, and how cosines with them become logits."""

    embeddings: Tensor  # [C,D], float64, each row of length 1
    scale: float
    bias: float | None = None
    names: tuple[str, ...] = ()


def read_text(spec: ModelSpec) -> Text | None:
    """What the file ``spec.text`` says, with ``spec.scale`` in place of the file's scale; None where there is no file.

    Raises:
        CamsbenchError: the file is not there, is of no known form, or holds what cannot be embeddings of classes.
    """
    if spec.text is None:
        return None
    where = f"model.text={spec.text}"
    held = _read(Path(spec.text).expanduser(), where)
    embeddings = _embeddings(held, where)
    names = _names(held, where)
    if names and spec.classes is None:  # which takes their place
        check_names(names, len(embeddings), where)
    scale = _scale(held, where) if spec.scale is None else spec.scale
    return Text(embeddings, scale, _number(held, _one_of(held, BIAS, where), where), names)


def _read(path: Path, where: str) -> dict[str, Any]:
    """What a file holds, by its key; a matrix alone under the first of ``MATRIX``."""
    if not path.is_file():
        raise CamsbenchError(f"{where}: there is no file {path}; give text embeddings of the classes: {FORM}")
    try:
        held = _load(path)
    except Exception as error:  # unpickling raises many kinds
        said = " ".join(str(error).split())[:120]
        raise CamsbenchError(
            f"{where}: it cannot be read as arrays alone ({type(error).__name__}: {said}); save {FORM}"
        ) from error
    if held is None:
        raise CamsbenchError(f"{where}: a file {path.suffix or 'without a suffix'} is of no known form; save {FORM}")
    return dict(held) if isinstance(held, Mapping) else {MATRIX[0]: held}


def _load(path: Path) -> Any:
    """What is in a file, arrays and tensors alone; None for a suffix that is not known."""
    suffix = path.suffix.lower()
    if suffix in {".npy", ".npz"}:
        found = np.load(path, allow_pickle=False)
        return {key: found[key] for key in found.files} if isinstance(found, np.lib.npyio.NpzFile) else found
    if suffix in {".pt", ".pth"}:
        return torch.load(path, map_location="cpu", weights_only=True)
    return timm.models.load_state_dict(str(path)) if suffix == ".safetensors" else None


def _embeddings(held: Mapping[str, Any], where: str) -> Tensor:
    """The text embeddings [C,D], each of length 1."""
    key = _one_of(held, MATRIX, where)
    if key is None:
        raise CamsbenchError(f"{where}: it holds {', '.join(map(str, held)) or 'nothing'}; save {FORM}")
    matrix = _tensor(held[key])
    if matrix is None or matrix.ndim != 2:
        said = type(held[key]).__name__ if matrix is None else f"numbers of the shape {list(matrix.shape)}"
        raise CamsbenchError(f"{where}: these are {said}, no matrix of numbers; save {FORM}")
    if len(matrix) < 2:
        raise CamsbenchError(f"{where}: it has {len(matrix)} rows; give those of two classes or more")
    lengths = matrix.norm(dim=1, keepdim=True)
    if (wrong := (~lengths.isfinite()).flatten().nonzero()).numel():
        raise CamsbenchError(f"{where}: row {int(wrong[0])} holds NaN or infinity; embed that class again")
    if (wrong := (lengths == 0).flatten().nonzero()).numel():
        raise CamsbenchError(
            f"{where}: row {int(wrong[0])} is all zeros, which has no direction; embed that class again"
        )
    return matrix / lengths


def _tensor(value: object) -> Tensor | None:
    """An array or tensor of numbers as float64; None for anything else."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(value.astype(np.float64))
    plain = isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized
    if not isinstance(value, Tensor) or not plain or value.is_complex() or value.dtype == torch.bool:
        return None
    return value.detach().double()


def _names(held: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The names of the classes; () where the file has none."""
    if NAMES not in held:
        return ()
    value = held[NAMES].tolist() if isinstance(held[NAMES], np.ndarray) else held[NAMES]
    names = in_order(value)
    if not names or not all(names):
        raise CamsbenchError(f"{where}: its {NAMES} are no list of names; save one text a row of the matrix")
    return names


def _scale(held: Mapping[str, Any], where: str) -> float:
    """The factor of the cosines that the file says, or CLIP's."""
    key = _one_of(held, (SCALE, LOG_SCALE), where)
    said = _number(held, key, where)
    if said is None:
        return CLIPS
    if key == LOG_SCALE and said > LARGEST_LOG:
        raise CamsbenchError(
            f"{where}: its {LOG_SCALE} is {said:g}, and CLIP's parameter of this name is a logarithm: save the factor "
            f"itself as {SCALE}, or give model.scale="
        )
    scale = math.exp(said) if key == LOG_SCALE else said
    if scale <= 0:
        raise CamsbenchError(
            f"{where}: its {key} is {said:g}, which is no scale; save one above 0, or give model.scale="
        )
    return scale


def _number(held: Mapping[str, Any], key: str | None, where: str) -> float | None:
    """The number under a key; None without a key."""
    if key is None:
        return None
    value = held[key]
    given = torch.tensor([value], dtype=torch.float64) if type(value) in {int, float} else _tensor(value)
    if given is None or given.numel() != 1 or not given.isfinite().all():
        raise CamsbenchError(f"{where}: its {key} is not one finite number; save one, or leave it out")
    return float(given)


def _one_of(held: Mapping[str, Any], keys: tuple[str, ...], where: str) -> str | None:
    """Which of the keys the file has; None where it has none."""
    found = [key for key in keys if key in held]
    if len(found) > 1:
        raise CamsbenchError(f"{where}: it holds {' and '.join(found)}, and one of them is meant; save that one alone")
    return found[0] if found else None
