"""Percentile bootstrap over images: how far a number of the table would move with other images.

A statistic is a function of weights [R,n] (how often each of n images was drawn) to [R] values, so that one draw of
the images serves all methods and columns of a network, and differences between methods stay paired.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camsbench.tables.means import Array, divide, weighted_means

Statistic = Callable[[Array], Array]

RESAMPLES = 2000
LEVEL = 0.95
ENTRIES = 2**22  # weights held at once: 32 MB
LINES = 500  # resamples whose mean curves are held at once: 4 MB for a curve of 1000 points


@dataclass(frozen=True)
class Interval:
    """A statistic of the images at hand, and the percentile interval of its resamples; NaN where it has none."""

    value: float
    low: float
    high: float
    error: float = float("nan")  # standard deviation over the resamples


def draw_resamples(n: int, seed: int, resamples: int = RESAMPLES) -> Iterator[Array]:
    """Multinomial weights, in blocks [r,n]: each line is a draw of n images with replacement."""
    generator = np.random.default_rng(seed)
    block = max(1, ENTRIES // n)
    for start in range(0, resamples, block):
        lines = min(block, resamples - start)
        drawn = generator.integers(n, size=(lines, n)) + n * np.arange(lines)[:, None]
        yield np.bincount(drawn.ravel(), minlength=lines * n).reshape(lines, n).astype(float)


@dataclass(frozen=True, eq=False)
class FunctionOfMeans:
    """A statistic that is a function ``of`` the means of some ``columns``; NaN: that image weighs nothing.

    A mean is [R] of a column [n], and [R,m] of a curve [n,m]. Said so, and not as any function of weights, the means of
    all statistics of a table are one product of matrices, and one more for each distinct curve.
    """

    columns: tuple[Array, ...]
    of: Callable[..., Array]

    def __call__(self, weights: Array) -> Array:
        return self.of(*weighted_means(self.columns, weights))


def replicates(statistics: Sequence[Statistic], n: int, seed: int, resamples: int = RESAMPLES) -> Array:
    """Every statistic [R,S] of the same resamples of ``n`` images."""
    places: dict[int, int] = {}  # of the distinct columns of all statistics
    columns: list[Array] = []
    for statistic in statistics:
        for column in statistic.columns if isinstance(statistic, FunctionOfMeans) else ():
            if places.setdefault(id(column), len(columns)) == len(columns):
                columns.append(column)
    curves = any(column.ndim > 1 for column in columns)
    drawn = []
    for block in draw_resamples(n, seed, resamples):
        for weights in np.split(block, range(LINES, len(block), LINES)) if curves else [block]:
            means = weighted_means(columns, weights)
            drawn.append(np.stack([_value(s, weights, means, places) for s in statistics], 1))
    return np.concatenate(drawn)


def _value(statistic: Statistic, weights: Array, means: Sequence[Array], places: Mapping[int, int]) -> Array:
    if isinstance(statistic, FunctionOfMeans):
        return statistic.of(*(means[places[id(column)]] for column in statistic.columns))
    return statistic(weights)


def intervals(
    statistics: Sequence[Statistic], n: int, seed: int, resamples: int = RESAMPLES, level: float = LEVEL
) -> list[Interval]:
    """The interval of each statistic over the same resamples of ``n`` images."""
    if not statistics:
        return []  # and there may be no image either
    once = np.ones((1, n))
    drawn = replicates(statistics, n, seed, resamples)
    return [percentile(float(s(once)[0]), drawn[:, i], level) for i, s in enumerate(statistics)]


def percentile(value: float, drawn: Array, level: float = LEVEL) -> Interval:
    """The percentile interval of resamples [R]; resamples that drew no image with a value do not count."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Interval(value, float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), float(drawn.std()))


def mean(values: Array) -> Statistic:
    """Mean of ``values`` [n]; NaN: that image has none, and weighs nothing."""
    return FunctionOfMeans((values,), lambda means: means)


def median(values: Array) -> Statistic:
    """Median of ``values`` [n], exactly that of the resampled images (the middle two averaged)."""
    order = np.argsort(values)[: int(np.isfinite(values).sum())]  # NaN sorts last
    ordered = values[order]

    def at(weights: Array) -> Array:
        if not len(ordered):
            return np.full(len(weights), np.nan)
        reached = weights[:, order].cumsum(1)
        total = reached[:, -1]
        low, high = (ordered[(reached > place[:, None]).argmax(1)] for place in ((total - 1) // 2, total // 2))
        return np.where(total > 0, (low + high) / 2, np.nan)

    return at


def class_mean(values: Array, labels: NDArray[np.int64]) -> Statistic:
    """Mean over the classes ``labels`` [n] of each class's mean of ``values`` [n]; absent classes do not count."""
    kept = np.flatnonzero(np.isfinite(values))
    order = kept[np.argsort(labels[kept], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[order], prepend=labels[order][:1] - 1))

    def at(weights: Array) -> Array:
        if not len(order):
            return np.full(len(weights), np.nan)
        drawn = weights[:, order]
        counts = np.add.reduceat(drawn, starts, axis=1)
        means = divide(np.add.reduceat(drawn * values[order], starts, axis=1), counts)
        return divide(np.nansum(means, 1), (counts > 0).sum(1).astype(float))

    return at


def of_means(columns: Sequence[Array], function: Callable[..., Tensor]) -> Statistic:
    """A ``function`` of tensors of the means of several columns [n] or curves [n,m], which are resampled together."""

    def of(*means: Array) -> Array:
        return function(*(torch.from_numpy(np.ascontiguousarray(mean)) for mean in means)).numpy()

    return FunctionOfMeans(tuple(columns), of)


def ratio(values: Array, reference: Array) -> Statistic:
    """Median of ``values`` [n] over the median of ``reference`` [n], on the images that both have."""
    both = np.isfinite(values) & np.isfinite(reference)
    above, below = median(np.where(both, values, np.nan)), median(np.where(both, reference, np.nan))
    return lambda weights: divide(above(weights), below(weights))


def rate(values: Array) -> Statistic:
    """One over the median of ``values`` [n]: images a second, of seconds an image."""
    middle = median(values)
    return lambda weights: divide(np.ones(len(weights)), middle(weights))


def scale(statistic: Statistic, factor: float) -> Statistic:
    """The statistic in another unit."""
    if isinstance(statistic, FunctionOfMeans):
        return FunctionOfMeans(statistic.columns, lambda *means: factor * statistic.of(*means))
    return lambda weights: factor * statistic(weights)


def difference(a: Statistic, b: Statistic) -> Statistic:
    """a − b, of the same images."""
    if isinstance(a, FunctionOfMeans) and isinstance(b, FunctionOfMeans):
        split = len(a.columns)
        return FunctionOfMeans(a.columns + b.columns, lambda *means: a.of(*means[:split]) - b.of(*means[split:]))
    return lambda weights: a(weights) - b(weights)
