"""The columns of numbers that a metric gives: which way is better, and how tables reduce the images' values to one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from camsbench.errors import CamsbenchError

BETTER = ("higher", "lower")
REDUCTIONS = ("mean", "median", "class_mean")
CURVE = "curve."
"""How the names of rows' columns begin that hold a curve an image."""


@dataclass(frozen=True)
class OfMeans:
    """A reduction that is a function of the means of several columns, or of curves: ADCC, as papers print it.

    Args:
        columns: whose means over images it takes; ``curve.NAME`` is the metric's curve NAME, whose mean is taken point
            by point. It is made where rows have them all.
        function: of these means, float64 tensors [R] for R sets of images, or [R,n] of a curve of n points, to a
            tensor [R].
        words: what a summary says of it, such as "harmonic mean of the means".
    """

    columns: tuple[str, ...]
    function: Callable[..., Tensor]
    words: str = ""


Reduction = str | OfMeans


@dataclass(frozen=True)
class Column:
    """A column of a run's rows: one number an image, and what tables and reports must know of it.

    Args:
        name: as in the rows.
        better: ``higher`` or ``lower``; empty where nobody says.
        reduce: how a table makes one number of the images': ``mean``, ``median``, ``class_mean`` (the mean of the
            classes' own means, which gives each class the same weight) or an ``OfMeans``; or several of them. The
            first stands under ``name``, the others as ``name_mean``, ``name_median`` and ``name_class``.
        percent: shown in percent; the rows have it in [0,1].
        seconds: a time in seconds: no quality of a map, so that no agreement of metrics counts it.
        title: a short name for the head of a table; empty: ``name``.
        note: a sentence that a summary adds; empty: what ``reduce`` says of itself.
    """

    name: str
    better: str
    reduce: Reduction | tuple[Reduction, ...] = "mean"
    percent: bool = False
    seconds: bool = False
    title: str = ""
    note: str = ""

    @property
    def reductions(self) -> tuple[Reduction, ...]:
        """``reduce`` as several."""
        return self.reduce if isinstance(self.reduce, tuple) else (self.reduce,)

    @property
    def label(self) -> str:
        """What it is called in a table."""
        return self.title or self.name


def columns_of(metric: object, name: str = "") -> tuple[Column, ...]:
    """The columns that a metric declares: ``Column`` objects, or a mapping of names to the better direction.

    Args:
        metric: has ``columns``.
        name: what the user calls it; empty takes its class.

    Raises:
        CamsbenchError: it declares none, or a direction or reduction that there is not.
    """
    who = f"metric {name or type(metric).__name__}"
    declared = getattr(metric, "columns", None)
    if isinstance(declared, Mapping):
        declared = [Column(column, better) for column, better in declared.items()]
    if not isinstance(declared, Iterable) or not all(isinstance(column, Column) for column in declared):
        raise CamsbenchError(
            f"{who}: columns must be a tuple of camsbench.core.columns.Column, or a mapping of names to higher or lower"
        )
    found = tuple(declared)
    for column in found:
        if column.better not in BETTER:
            raise CamsbenchError(_refusal(who, column.name, "better", column.better, BETTER))
        for reduction in column.reductions:
            if not isinstance(reduction, OfMeans) and reduction not in REDUCTIONS:
                raise CamsbenchError(_refusal(who, column.name, "reduce", reduction, (*REDUCTIONS, "an OfMeans")))
    return found


def all_columns(metrics: Mapping[str, object]) -> list[Column]:
    """The columns of several metrics by name, in their order.

    Raises:
        CamsbenchError: as ``columns_of``.
    """
    return [column for name, metric in metrics.items() for column in columns_of(metric, name)]


def curves_of(columns: Iterable[Column]) -> list[str]:
    """The names of the curves whose means some reduction takes, each once."""
    of_means = (reduction for column in columns for reduction in column.reductions if isinstance(reduction, OfMeans))
    names = (name for reduction in of_means for name in reduction.columns if name.startswith(CURVE))
    return [name.removeprefix(CURVE) for name in dict.fromkeys(names)]


def merge_columns(columns: Iterable[Column]) -> list[Column]:
    """Each column once: the first of a name."""
    found: dict[str, Column] = {}
    for column in columns:
        found.setdefault(column.name, column)
    return list(found.values())


def _refusal(who: str, column: str, option: str, value: object, choices: Iterable[str]) -> str:
    return f"{who}: {option} of its column {column} is '{value}': it must be one of {', '.join(choices)}"
