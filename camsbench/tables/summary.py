"""Rows to the summary of a run: one line a method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from camsbench.core.columns import CURVE, Column, OfMeans
from camsbench.tables.columns import (
    SECONDS,
    SummaryColumn,
    known_columns,
    reductions_of,
    summary_columns,
    text_of,
)
from camsbench.tables.curves import stacked
from camsbench.tables.grid import grid
from camsbench.tables.means import Array, weighted_means

ARROWS = {"higher": " ↑", "lower": " ↓"}
KEYS = ("method", "model", "protocol", "layer")
COUNTS = {"n_error": "errors", "n_degenerate": "degenerate"}


def summarise(rows: pd.DataFrame, columns: Iterable[Column] = ()) -> pd.DataFrame:
    """One line a method (model, protocol and layer, where there are several): its metrics' numbers, and counts.

    ``n`` counts rows without an error; numbers are of these, degenerate maps included, but not of images for which a
    metric is not defined. A metric's column says how it is reduced (``camsbench.core.columns.Column``): most are means;
    ``adcc`` is the harmonic mean of the three *means* (what papers print), ``adcc_mean`` the mean of the images' own
    ADCC; ``time`` and ``time_plain`` are medians; ``pointing_class`` is the mean of the classes' own accuracies.

    Args:
        rows: of one or several run folders.
        columns: what the run's metrics declare, before the defaults of camsbench's own.
    """
    shown = summary_columns(rows.columns, columns)
    good = rows[rows["error"].isna()]
    keys = ["method", *(key for key in KEYS[1:] if len(set(rows[key])) > 1)]
    groups = good.groupby(keys, sort=False)
    numbers = {column.name: _reduce(groups, column) for column in shown}
    numbers[SECONDS.name] = groups[SECONDS.name].mean()
    counts = rows.groupby(keys, sort=False).agg(
        n=("error", lambda error: int(error.isna().sum())),
        n_error=("error", lambda error: int(error.notna().sum())),
        n_degenerate=("degenerate", lambda flags: int((flags == True).sum())),  # noqa: E712 - null is neither
    )
    return counts.join(pd.DataFrame(numbers)).reset_index()


def markdown(
    summary: pd.DataFrame, columns: Iterable[Column] | Mapping[str, str] = (), marks: pd.DataFrame | None = None
) -> str:
    """A summary as a Markdown table, with an arrow towards better; arguments as of ``text_cells``."""
    return grid(text_cells(summary, columns, marks))


def text_cells(
    summary: pd.DataFrame, columns: Iterable[Column] | Mapping[str, str] = (), marks: pd.DataFrame | None = None
) -> list[list[str]]:
    """A summary as text, its head first.

    Args:
        summary: of ``summarise``.
        columns: as there, or names and their better direction.
        marks: what stands behind the numbers, in columns and lines as in ``summary``.
    """
    known = {one.name: one for column in known_columns(columns).values() for one in reductions_of(column)}
    shown, titles = summary.copy(), {**COUNTS, SECONDS.name: SECONDS.title}
    for name in shown.columns.difference([*KEYS, "n", *COUNTS]):
        if not pd.api.types.is_numeric_dtype(shown[name]):
            continue
        one = known.get(name)
        source = one.source if one is not None else SECONDS if name == SECONDS.name else Column(name, "")
        shown[name] = [text_of(source, value) for value in shown[name]]
        if marks is not None and name in marks:
            shown[name] += marks[name]
        if one is not None:
            titles[name] = one.title + ARROWS.get(source.better, "")
    shown = shown.rename(columns=titles)
    return [list(shown.columns), *([str(v) for v in line] for line in shown.itertuples(index=False))]


def class_average(rows: pd.DataFrame, column: str) -> float:
    """Mean over classes of each class's mean of ``column`` (TorchRay's accuracy), over the rows where it is defined.

    ``rows`` are those of one method; a class is their ``label``, since boxes are those of the labelled object. Classes
    without a defined value are left out, where TorchRay, whose data sets have none, would count them 0. NaN when no
    row has a value.
    """
    known = rows[rows[column].notna()]
    return float(known.groupby("label")[column].mean().mean())


def _reduce(groups: Any, column: SummaryColumn) -> pd.Series:
    """A number for each group of rows (pandas' grouping, which has no public type)."""
    if isinstance(column.reduction, OfMeans):
        means = zip(*(_means(groups[name]) for name in column.needs), strict=True)
        of = [column.reduction.function(*(torch.as_tensor(mean)[None] for mean in group)).item() for group in means]
        return pd.Series(of, index=groups.size().index, dtype=float)
    values = groups[column.source.name]
    if column.reduction == "class_mean":
        by_class = [class_average(rows, column.source.name) for _, rows in groups]
        return pd.Series(by_class, index=values.mean().index)
    return values.median() if column.reduction == "median" else values.mean()


def _means(grouped: Any) -> list[Array]:
    """The mean of each group's values, or the [n] of its curves; NaN where a group has none."""
    if not grouped.obj.name.startswith(CURVE):
        return list(grouped.mean().to_numpy(float))
    curves = [stacked(cells) for _, cells in grouped]
    return [weighted_means([curve], np.ones((1, len(curve))))[0][0] for curve in curves]
