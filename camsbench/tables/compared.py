"""What a paired test compares of two methods: the mean of a column's images, or a function of several means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from camsbench.core.columns import Column, OfMeans
from camsbench.tables import bootstrap
from camsbench.tables.bootstrap import Array, Statistic
from camsbench.tables.columns import known_columns, metric_columns, reductions_of
from camsbench.tables.curves import curve_columns


@dataclass(frozen=True)
class ComparedColumn:
    """A name of a summary, and the rows' columns behind it; without a ``function`` the mean of the one column."""

    name: str
    sources: tuple[str, ...]
    function: OfMeans | None = None

    def statistic(self, values: Sequence[Array]) -> Statistic:
        """Of the values [n] of each source."""
        if self.function is None:
            return bootstrap.mean(values[0])
        return bootstrap.of_means(values, self.function.function)


def compared_columns(rows: pd.DataFrame, declared: Sequence[Column]) -> list[ComparedColumn]:
    """The images of each metric that has a value, in the order of the rows, then what is made of means."""
    metrics = {c.name: c for c in metric_columns(rows.columns, declared) if rows[c.name].notna().any()}
    images = [_images(metrics[name]) for name in rows.columns if name in metrics]
    of_means = [one for column in known_columns(declared).values() for one in _of_means(column)]
    there = {*metrics, *(name for name in curve_columns(rows.columns) if rows[name].notna().any())}
    return images + [one for one in of_means if there >= set(one.sources)]


def compared_column(name: str, declared: Sequence[Column]) -> ComparedColumn:
    """What a summary's ``name`` compares; for one that nobody declares the mean of the rows' column."""
    every = [one for column in known_columns(declared).values() for one in (*_of_means(column), _images(column))]
    return next((one for one in every if one.name == name), ComparedColumn(name, (name,)))


def _images(column: Column) -> ComparedColumn:
    """The mean of the images, under the name that a summary gives it; where it gives none, under the column's own."""
    named = [one.name for one in reductions_of(column) if one.reduction == "mean"]
    return ComparedColumn(named[0] if named else column.name, (column.name,))


def _of_means(column: Column) -> list[ComparedColumn]:
    every = reductions_of(column)
    return [ComparedColumn(one.name, one.needs, one.reduction) for one in every if isinstance(one.reduction, OfMeans)]
