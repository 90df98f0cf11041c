"""The columns of a run's rows and of their curves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

KEY = ("image_id", "method", "layer")
HEAD = {
    "model": pa.string(),
    "layer": pa.string(),
    "method": pa.string(),
    "protocol": pa.string(),
    "seed": pa.int64(),
    "image_id": pa.string(),
    "label": pa.int64(),
    "target": pa.int64(),
    "probability": pa.float64(),
}
TAIL = {"seconds": pa.float64(), "degenerate": pa.bool_(), "error": pa.string()}
CURVE = {
    **{key: HEAD[key] for key in ("model", "layer", "method", "protocol", "seed", "image_id")},
    "curve": pa.string(),  # such as insertion_curve
    "y": pa.list_(pa.float64()),
}


def schema(columns: Iterable[str]) -> pa.Schema:
    """The columns of a row, with a run's metric columns between what identifies it and what happened to it."""
    return pa.schema({**HEAD, **dict.fromkeys(columns, pa.float64()), **TAIL})


class Task(NamedTuple):
    """One row of an image: a method at a layer."""

    layer: str
    method: str
