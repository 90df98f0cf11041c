"""A metric's values of the same images under the same methods: what its reliability is computed from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from camsbench.core.columns import Column
from camsbench.tables.bootstrap import Array
from camsbench.tables.columns import metric_columns, reductions_of
from camsbench.tables.measure import LineKey, Sample

FEWEST = 2  # methods, below which there is no order


class Setting(NamedTuple):
    """What the methods that are ranked have in common."""

    model: str
    protocol: str
    layer: str


@dataclass(frozen=True)
class Scores:
    """One metric's values of the images that all ranked methods have a value of.

    Args:
        setting: the network, protocol and layer.
        column: what the metric declares.
        methods: m names, without controls.
        images: n names.
        values: [n,m], turned so that larger is better.
        controls: by name, the values [n] of methods that explain nothing, NaN where they have none.
        left_out: images that some ranked method has a value of, but not all.
        fewer: methods that explained fewer images than these, and so are not among them.
    """

    setting: Setting
    column: Column
    methods: tuple[str, ...]
    images: tuple[str, ...]
    values: Array
    controls: dict[str, Array] = field(default_factory=dict)
    left_out: int = 0
    fewer: tuple[str, ...] = ()

    @cached_property
    def by_method(self) -> tuple[Array, ...]:
        """Each method's values [n]: always the same arrays, which statistics share."""
        return tuple(np.ascontiguousarray(column) for column in self.values.T)

    @property
    def label(self) -> str:
        """What tables call the mean of the images' values: ADCC/image, where ADCC is of the means."""
        titles = {one.reduction: one.title for one in reductions_of(self.column)}
        return titles.get("mean", f"{self.column.label}/image")

    @cached_property
    def means(self) -> Array:
        """Of each method [m]."""
        return self.values.mean(0)

    @cached_property
    def ranks(self) -> Array:
        """Of each image's methods [n,m]: 1 is the best; methods that tie share the mean of their ranks."""
        return stats.rankdata(-self.values, axis=1)

    @property
    def ties(self) -> float:
        """The share of pairs of methods that an image gives the same value."""
        first, second = np.triu_indices(len(self.methods), 1)
        return float((self.values[:, first] == self.values[:, second]).mean())


def scores_of(rows: pd.DataFrame, declared: Iterable[Column] = (), controls: Collection[str] = ()) -> list[Scores]:
    """The matrices of every metric that has a better direction, of each network, protocol and layer.

    Methods that explained fewer images than others (``limits``) are left out: what they share with the others may be
    next to nothing. A time is no quality of a map, and has no matrix.

    Args:
        rows: of one or several runs.
        declared: what the runs' metrics declare, before the defaults of camsbench's own.
        controls: methods that explain nothing.
    """
    made, known = [], list(declared)
    for key, chosen in rows.groupby(list(Setting._fields), sort=False):
        sample = Sample.of(chosen)
        ranked = [line for line in sample.rows if line.method not in controls]
        most = max((len(sample.rows[line]) for line in ranked), default=0)
        fewer = tuple(line.method for line in ranked if len(sample.rows[line]) < most)
        ranked = [line for line in ranked if line.method not in fewer]
        beside = [line for line in sample.rows if line.method in controls]
        for column in metric_columns(chosen.columns, known):
            if column.better and not column.seconds and len(ranked) >= FEWEST:
                made.append(replace(_scores(Setting(*map(str, key)), column, sample, ranked, beside), fewer=fewer))
    return [scores for scores in made if scores.images]


def _scores(
    setting: Setting, column: Column, sample: Sample, ranked: Sequence[LineKey], beside: Sequence[LineKey]
) -> Scores:
    sign = 1 if column.better == "higher" else -1
    every = sign * np.stack([sample.values(line, column.name) for line in ranked], 1)
    known = np.isfinite(every)
    whole = known.all(1)
    return Scores(
        setting,
        column,
        tuple(line.method for line in ranked),
        tuple(np.asarray(sample.images, dtype=object)[whole]),
        every[whole],
        {line.method: sign * sample.values(line, column.name)[whole] for line in beside},
        int((known.any(1) & ~whole).sum()),
    )
