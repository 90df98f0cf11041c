"""The columns of a run's rows and of their curves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from camsbench.errors import CamsbenchError

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


GROUPING = ("label", "target")  # columns of every run that may split its summary
CELL = "data."
"""How the names of further columns begin, which the images' table gave the rows."""


def schema(columns: Iterable[str], cells: Mapping[str, pa.DataType] | None = None) -> pa.Schema:
    """The columns of a row, with a run's metric columns between what identifies it and what happened to it.

    Args:
        columns: of the metrics.
        cells: the names of further columns of the images' table, and their types.
    """
    further = {CELL + name: kind for name, kind in (cells or {}).items()}
    return pa.schema({**HEAD, **dict.fromkeys(columns, pa.float64()), **TAIL, **further})


def cell_types(cells: Iterable[Mapping[str, Any]]) -> dict[str, pa.DataType]:
    """The type of each further column, of all images' ``cells``: text, where they are not all numbers or flags."""
    kinds: dict[str, set[type]] = {}
    for each in cells:
        for name, value in each.items():
            kinds.setdefault(name, set()).update(() if value is None else {type(value)})
    return {name: _type_of(found) for name, found in kinds.items()}


def group_column(by: str, cells: Collection[str]) -> str:
    """The rows' column that ``summary.by`` names: ``label``, ``target``, or one of the images' table.

    Raises:
        CamsbenchError: there is no such column.
    """
    if by in cells:
        return CELL + by
    if by in GROUPING:
        return by
    raise CamsbenchError(
        f"summary.by={by}: the images have no such column; give one of {', '.join([*GROUPING, *sorted(cells)])}"
    )


def _type_of(kinds: set[type]) -> pa.DataType:
    for type_, allowed in ((pa.bool_(), {bool}), (pa.int64(), {int}), (pa.float64(), {int, float})):
        if kinds and kinds <= allowed:
            return type_
    return pa.string() if kinds else pa.null()


class Task(NamedTuple):
    """One row of an image: a method at a layer."""

    layer: str
    method: str
