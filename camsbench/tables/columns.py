"""The columns of a summary: what metrics declare of the rows' columns, one for each reduction, in the papers' order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from camsbench.core.columns import CURVE, Column, OfMeans, Reduction, columns_of, merge_columns
from camsbench.metrics.adcc import ADCC, Coherency, Complexity
from camsbench.metrics.arcc import ARCC
from camsbench.metrics.curves import Deletion, Insertion
from camsbench.metrics.drop import AverageGain, Drop, Increase
from camsbench.metrics.infidelity import Infidelity
from camsbench.metrics.irof import IROF
from camsbench.metrics.localisation import IoU, RelevanceMass, RelevanceRank
from camsbench.metrics.mas import MAS
from camsbench.metrics.max_box_acc import MaxBoxAcc, MaxBoxAccV2
from camsbench.metrics.mufidelity import MuFidelity
from camsbench.metrics.pointing import EnergyPointing, Pointing, PointingWithin
from camsbench.metrics.pxap import PxAP
from camsbench.metrics.road import ROAD
from camsbench.metrics.saliency_metric import SaliencyMetric
from camsbench.metrics.sanity import CascadingRandomisation, IndependentRandomisation
from camsbench.metrics.sensitivity import MaxSensitivity
from camsbench.metrics.sensitivity_n import SensitivityN
from camsbench.metrics.sparseness import Entropy, Sparseness
from camsbench.metrics.stability import RelativeStability
from camsbench.metrics.time import Time
from camsbench.store.schema import CELL, HEAD, TAIL
from camsbench.tables.curves import curve_columns

PAPERS = (
    *(Drop, Increase, Deletion, Insertion, Coherency, Complexity, ADCC),  # in the order of ReciproCAM's Table 1
    *(Pointing, PointingWithin, EnergyPointing),
)
OTHERS = (
    *(Time, AverageGain, ARCC, MAS, IROF, ROAD, Infidelity, MuFidelity, SensitivityN),
    *(MaxSensitivity, RelativeStability, Sparseness, Entropy),
    *(IoU, RelevanceMass, RelevanceRank, MaxBoxAcc, MaxBoxAccV2, PxAP, SaliencyMetric),
    *(CascadingRandomisation, IndependentRandomisation),
)
SECONDS = Column("seconds", "lower", seconds=True, title="s/image")  # of a batch, shared work left out
SUFFIXES = {"mean": ("mean", "image"), "median": ("median", "median"), "class_mean": ("class", "class")}


@dataclass(frozen=True)
class SummaryColumn:
    """One reduction of a column: a number a line.

    ``source`` is what the rows' column declares, ``title`` what a table's head calls the number.
    """

    name: str
    title: str
    source: Column
    reduction: Reduction

    @property
    def needs(self) -> tuple[str, ...]:
        """The rows' columns that it is made of."""
        return self.reduction.columns if isinstance(self.reduction, OfMeans) else (self.source.name,)

    @property
    def remark(self) -> str:
        """A sentence on how it is made, where that is no mean and its name does not say so."""
        if self.name != self.source.name or self.reduction == "mean":
            return ""
        if self.source.note:
            return self.source.note
        words = {"median": "median over images", "class_mean": "mean of the classes' own means"}
        said = self.reduction.words if isinstance(self.reduction, OfMeans) else words[self.reduction]
        return f"{self.title}: {said}." if said else ""


@cache
def own_columns() -> tuple[Column, ...]:
    """What camsbench's own metrics declare, with their defaults; the papers' first."""
    return tuple(column for metric in (*PAPERS, *OTHERS) for column in columns_of(metric()))


@cache
def _order() -> tuple[str, ...]:
    """The names of the papers' columns, in their order."""
    return tuple(column.name for metric in PAPERS for column in columns_of(metric()))


def known_columns(declared: Iterable[Column] | Mapping[str, str] = ()) -> dict[str, Column]:
    """What is declared by name: a run's own metrics before camsbench's defaults.

    A mapping of names to the better direction, as 0.1.0 had it, declares those that camsbench does not know.
    """
    if isinstance(declared, Mapping):
        own = {column.name for column in own_columns()}
        declared = [Column(name, better) for name, better in declared.items() if name not in own]
    return {column.name: column for column in merge_columns([*declared, *own_columns()])}


def metric_columns(names: Iterable[str], declared: Iterable[Column] = ()) -> list[Column]:
    """The metrics' columns among the ``names`` of rows: in the papers' order, then in the rows'.

    One that nobody declares has no better direction, and is averaged.
    """
    present = [name for name in names if name not in HEAD and name not in TAIL and not name.startswith((CELL, CURVE))]
    known = known_columns(declared)
    order = dict.fromkeys([*(name for name in _order() if name in present), *present])
    return [known.get(name, Column(name, "")) for name in order]


def summary_columns(names: Iterable[str], declared: Iterable[Column] = ()) -> list[SummaryColumn]:
    """The columns of a summary of rows that have the columns ``names``, in the order of ``metric_columns``.

    A reduction of the means of other columns, or of curves, is there where the rows have those, whether or not they
    have its own.
    """
    names = list(names)
    present = {column.name: column for column in metric_columns(names, declared)}
    known = known_columns(declared) | present
    order = dict.fromkeys([*_order(), *present, *known])
    every = [one for name in order for one in reductions_of(known[name])]
    there = {*present, *curve_columns(names)}
    return [one for one in every if there >= set(one.needs)]


def reductions_of(column: Column) -> list[SummaryColumn]:
    """Each reduction of a column: the first under its own name, the others with what they are behind it."""
    made = []
    for place, reduction in enumerate(column.reductions):
        suffix, word = ("means", "means") if isinstance(reduction, OfMeans) else SUFFIXES[reduction]
        name = column.name if place == 0 else f"{column.name}_{suffix}"
        title = column.label if place == 0 else f"{column.title}/{word}" if column.title else name
        made.append(SummaryColumn(name, title, column, reduction))
    return made


def first_reduction(name: str, declared: Iterable[Column] = ()) -> Reduction:
    """How a column is reduced where it is to be one number."""
    return known_columns(declared).get(name, Column(name, "")).reductions[0]


def text_of(column: Column, value: float | None) -> str:
    """A number of a column, as tables show it: percent with two decimals, seconds with three, others four digits."""
    if value is None or math.isnan(value):
        return "–"
    if column.percent:
        return f"{100 * value:.2f}"
    return f"{value:.3f}" if column.seconds else f"{value:.4g}"
