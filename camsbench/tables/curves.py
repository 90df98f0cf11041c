"""Curves among the columns of rows (``curve.NAME``): told apart, and stacked for their means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from camsbench.core.columns import CURVE
from camsbench.errors import CamsbenchError
from camsbench.tables.means import Array, divide, known


def curve_columns(names: Iterable[Any]) -> list[str]:
    """Those of rows' columns that hold a curve an image."""
    return [name for name in map(str, names) if name.startswith(CURVE)]


def stacked(cells: pd.Series) -> Array:
    """The curves [n,m] in the cells [n] of a column; NaN in the line of a cell without one, [n,1] where none has any.

    Raises:
        CamsbenchError: they are of several lengths, as of runs with other settings of the metric.
    """
    values = [cell if isinstance(cell, np.ndarray) else None for cell in cells]
    lengths = {len(value) for value in values if value is not None}
    if len(lengths) > 1:
        raise CamsbenchError(
            f"{cells.name}: its curves have {' and '.join(map(str, sorted(lengths)))} points, so that they have no "
            "mean: make one table of runs with the same settings of the metric"
        )
    made = np.full((len(values), max(lengths, default=1)), np.nan, np.float32)
    for line, value in enumerate(values):
        if value is not None:
            made[line] = value
    return made


def by_image(rows: pd.DataFrame, name: str, images: list[str]) -> Array:
    """The curve of each of ``images`` [n,m] in a column of a line's rows: the mean of several rows' of one image."""
    values = stacked(rows[name])
    there = known(values)
    place = pd.Index(images).get_indexer(pd.Index(rows["image_id"]))[there]
    total, count = np.zeros((len(images), values.shape[1]), np.float32), np.zeros((len(images), 1), np.float32)
    np.add.at(total, place, values[there])
    np.add.at(count, place, 1)
    return divide(total, count).astype(np.float32)
