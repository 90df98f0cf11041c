"""Between methods on the same images: is A better than B, and how many images would tell?"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from camsbench.core.columns import Column
from camsbench.tables import bootstrap
from camsbench.tables.bootstrap import Array, Interval, Statistic
from camsbench.tables.compared import ComparedColumn, compared_column, compared_columns
from camsbench.tables.grid import grid
from camsbench.tables.means import known, only
from camsbench.tables.measure import LineKey, Sample
from camsbench.tables.render import NONE, interval

FAMILY = ["model", "protocol", "layer", "column"]
SURE, POWER = 1.959964, 0.841621  # normal quantiles of a two-sided 95 % test and of 80 % power


def pairs(
    rows: pd.DataFrame, columns: Sequence[str] | None = None, seed: int = 0, declared: Iterable[Column] = ()
) -> pd.DataFrame:
    """Every pair of methods of a model, protocol and layer, on the images that both have.

    Columns: model, protocol, layer, column; ``a`` and ``b`` (a has the larger mean), their means, ``difference``
    (a − b) with its paired bootstrap interval ``low`` and ``high`` (95 %), ``n``, ``p`` and ``p_holm``;
    ``neighbours`` (no method lies between them) and ``images_needed``. Values as in the rows, in [0,1].

    ``p``: Wilcoxon's signed-rank test of the paired differences; where these have one size only (0/1 columns) the
    exact sign test, which is McNemar's. A function of means, such as ADCC as papers print it, has no value of an image:
    twice the share of resamples on the other side of 0. ``p_holm`` is corrected (Holm 1979) over the pairs of a model,
    protocol, layer and column.

    Args:
        rows: rows of one or several run folders; rows with an error are left out.
        columns: which columns, named as in the summary; None takes all metrics, each by the mean of its images (however
            a summary reduces it), and functions of means, such as ADCC, where their columns are there.
        seed: seed of the bootstrap.
        declared: what the run's metrics declare, before the defaults of camsbench's own.
    """
    made: list[dict[str, Any]] = []
    said = list(declared)
    for (model, protocol, layer), chosen in rows.groupby(["model", "protocol", "layer"], sort=False):
        sample = Sample.of(chosen)
        compared = compared_columns(chosen, said) if columns is None else [compared_column(c, said) for c in columns]
        for column, family in _families(sample, compared, seed):
            for entry, p in zip(family, holm([entry["p"] for entry in family]), strict=True):
                head = {"model": model, "protocol": protocol, "layer": layer, "column": column}
                made.append({**head, **entry, "p_holm": p})
    names = [*FAMILY, "a", "b", "mean_a", "mean_b", "difference", "low", "high", "n", "p", "p_holm", "neighbours"]
    return pd.DataFrame(made, columns=[*names, "images_needed"])


@dataclass(frozen=True)
class _Contrast:
    """The difference of two methods as a statistic of their common images."""

    a: LineKey
    b: LineKey
    mean_a: float
    mean_b: float
    n: int
    statistic: Statistic
    differences: Array | None  # [n] image by image; None where there is no such thing


def _families(
    sample: Sample, columns: Sequence[ComparedColumn], seed: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Each column with its pairs; all of them see the same resamples."""
    contrasts = {
        column: [c for a, b in combinations(sample.rows, 2) if (c := _contrast(sample, column, a, b)).n]
        for column in columns
    }
    statistics = [contrast.statistic for family in contrasts.values() for contrast in family]
    if not statistics:
        return
    drawn = iter(bootstrap.replicates(statistics, len(sample.images), seed).T)
    for column, family in contrasts.items():
        yield column.name, list(_family(sample, column, family, drawn))


def _family(
    sample: Sample, column: ComparedColumn, contrasts: Sequence[_Contrast], resamples: Iterator[Array]
) -> Iterator[dict[str, Any]]:
    order = _order(sample, column)
    for contrast, drawn in zip(contrasts, resamples, strict=False):  # the next column's follow
        difference = contrast.mean_a - contrast.mean_b
        between = bootstrap.percentile(difference, drawn)
        yield {
            "a": contrast.a.method,
            "b": contrast.b.method,
            "mean_a": contrast.mean_a,
            "mean_b": contrast.mean_b,
            "difference": difference,
            "low": between.low if contrast.n > 1 else math.nan,
            "high": between.high if contrast.n > 1 else math.nan,
            "n": contrast.n,
            "p": _p(contrast, drawn),
            "neighbours": abs(order[contrast.a] - order[contrast.b]) == 1,
            "images_needed": _needed(contrast, between),
        }


def _contrast(sample: Sample, column: ComparedColumn, a: LineKey, b: LineKey) -> _Contrast:
    """a and b, the one with the larger mean first."""
    values = {line: [sample.values(line, name) for name in column.sources] for line in (a, b)}
    both = np.logical_and.reduce([known(v) for line in (a, b) for v in values[line]])
    values = {line: [only(v, both) for v in values[line]] for line in (a, b)}
    of = {line: column.statistic(values[line]) for line in (a, b)}
    means = {line: float(of[line](np.ones((1, len(both))))[0]) for line in (a, b)}
    if means[b] > means[a]:
        a, b = b, a
    n = int(both.sum())
    if column.function:
        return _Contrast(a, b, means[a], means[b], n, bootstrap.difference(of[a], of[b]), None)
    differences = values[a][0] - values[b][0]
    return _Contrast(a, b, means[a], means[b], n, bootstrap.mean(differences), differences[both])


def _order(sample: Sample, column: ComparedColumn) -> dict[LineKey, int]:
    """The place of each line by its mean over its own images."""
    once = np.ones((1, len(sample.images)))

    def of(line: LineKey) -> float:
        return float(column.statistic([sample.values(line, name) for name in column.sources])(once)[0])

    means = {line: of(line) for line in sample.rows}
    lines = [line for line in means if not math.isnan(means[line])]
    return {line: place for place, line in enumerate(sorted(lines, key=lambda line: means[line]))}


def _p(contrast: _Contrast, drawn: Array) -> float:
    return both_sides(drawn) if contrast.differences is None else signed_rank(contrast.differences)


def signed_rank(differences: Array) -> float:
    """Two-sided p of paired differences [n]: Wilcoxon's, or the sign test's where all that differ do so equally."""
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    if np.ptp(np.abs(moved)) == 0:
        return float(stats.binomtest(int((moved > 0).sum()), len(moved)).pvalue)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few images: the normal approximation is all there is with ties
        return float(stats.wilcoxon(moved).pvalue)


def both_sides(drawn: Array) -> float:
    """Two-sided bootstrap p of a difference of 0: twice the smaller share of resamples [R] beyond it, never 0."""
    drawn = drawn[np.isfinite(drawn)]
    least = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (least + 1) / (len(drawn) + 1))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of a family of p-values."""
    corrected = [math.nan] * len(p)
    worst = 0.0
    for place, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        worst = max(worst, min(1.0, (len(p) - place) * p[i]))
        corrected[i] = worst
    return corrected


def images_needed(difference: float, deviation: float) -> float:
    """Images for which a two-sided 95 % test of a paired difference has 80 % power, at least 2; infinite when equal.

    n = ((1.96 + 0.84) · deviation / |difference|)², the normal approximation; ``deviation`` is that of one image's
    difference.
    """
    if difference == 0:
        return math.inf
    return float(max(2, math.ceil(((SURE + POWER) * deviation / abs(difference)) ** 2)))


def _needed(contrast: _Contrast, between: Interval) -> float:
    if contrast.n < 2:
        return math.nan
    if contrast.differences is None:  # the bootstrap's error of n images is one image's over √n
        return images_needed(between.value, between.error * math.sqrt(contrast.n))
    return images_needed(between.value, float(contrast.differences.std(ddof=1)))


def markdown(table: pd.DataFrame, neighbours: bool = True) -> str:
    """The pairs as a Markdown table, in the unit of the rows; only neighbours by mean, or all."""
    shown = table[table["neighbours"]] if neighbours else table
    several = [name for name in ("model", "protocol", "layer") if len(set(table[name])) > 1]
    head = [*several, "column", "higher", "lower", "difference", "95 % interval", "n", "p (Holm)", "images needed"]
    made = [head]
    for row in shown.to_dict("records"):
        made.append(
            [
                *(str(row[name]) for name in [*several, "column", "a", "b"]),
                f"{row['difference']:.4f}",
                interval(row["low"], row["high"], 4),
                str(row["n"]),
                "<0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}",
                count(row["images_needed"]),
            ]
        )
    return grid(made, left=len(several) + 3)


def count(images: float) -> str:
    """Images needed, as text."""
    return NONE if math.isnan(images) else "∞" if math.isinf(images) else f"{images:,.0f}"
