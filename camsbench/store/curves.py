"""Curves of a run as columns of its rows, for numbers that are made of the curves' means."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from camsbench.core.columns import CURVE as PREFIX
from camsbench.store.schema import KEY


def with_curves(rows: pd.DataFrame, parts: Iterable[pa.Table], names: Collection[str]) -> pd.DataFrame:
    """The rows with a column ``curve.NAME`` for each of the curves ``names``.

    A cell is the curve's values [n], float32, which holds a 0 or 1 and any number of an image's pixels exactly; None
    where a row has no such curve.

    Args:
        rows: of a run.
        parts: its curves, a part at a time; of doubles the last counts, as of rows.
        names: of the curves.
    """
    found: dict[str, dict[tuple[str, ...], np.ndarray]] = {name: {} for name in names}
    for part in parts:
        kept = part.filter(pc.is_in(part["curve"], value_set=pa.array(list(names), pa.string()))).combine_chunks()
        lines = zip(kept["curve"].to_pylist(), *(kept[key].to_pylist() for key in KEY), strict=True)
        for (name, *key), values in zip(lines, _values(kept), strict=True):
            found[name][tuple(key)] = values
    keys = list(zip(*(rows[key] for key in KEY), strict=True))
    columns = {
        PREFIX + name: pd.Series([of.get(key) for key in keys], rows.index, object) for name, of in found.items()
    }
    return rows.assign(**columns)


def _values(part: pa.Table) -> Iterable[np.ndarray]:
    """The values of each curve of a part; they are never made Python's."""
    y = part["y"].combine_chunks()
    flat, ends = y.values.to_numpy(zero_copy_only=False).astype(np.float32), y.offsets.to_numpy()
    return (flat[start:end] for start, end in pairwise(ends))
