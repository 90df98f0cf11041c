"""How sure a ranking is: who may be the best, between which ranks each lies, and who cannot be told from whom."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from camsbench.tables.bootstrap import LEVEL, Array
from camsbench.tables.reliability.scores import Scores


@dataclass(frozen=True)
class Ranking:
    """The methods of a metric by their means, best first.

    Args:
        methods: m names.
        means: as the rows have them [m].
        best: P(best) [m], the share of resampled sets of images in which the method has the best mean; methods that
            tie share it.
        low, high: between which ranks each lies [m], all of them at once at 95 %: behind those that are surely better,
            before those that are surely worse (``orders``; Mogstad et al. 2024, "Inference for ranks").
        mean_ranks: the mean over images of its rank on an image [m] (1 is the best): what Friedman's test compares.
        p: Friedman's test (1937) that no method differs; NaN for fewer than three methods, or one image.
        critical: Nemenyi's critical difference of mean ranks at 5 % (Demšar 2006); NaN as ``p``.
    """

    methods: tuple[str, ...]
    means: Array
    best: Array
    low: Array
    high: Array
    mean_ranks: Array
    p: float
    critical: float

    @property
    def alike(self) -> list[tuple[str, ...]]:
        """Largest groups of methods whose mean ranks lie within the critical difference of each other, best first.

        None where Friedman's test was not made or finds no difference (p ≥ 0.05): Nemenyi's follows on it.
        """
        if not self.p < 1 - LEVEL:
            return []
        order = np.argsort(self.mean_ranks, kind="stable")
        ranks = self.mean_ranks[order]
        ends = [int(np.searchsorted(ranks, rank + self.critical, side="right")) for rank in ranks]
        spans = [(i, end) for i, end in enumerate(ends) if end - i > 1 and (i == 0 or end > ends[i - 1])]
        return [tuple(self.methods[place] for place in order[start:end]) for start, end in spans]


def ranking(scores: Scores, drawn: Array) -> Ranking:
    """The ranking of a metric and its uncertainty over images.

    Args:
        scores: the values of n images.
        drawn: means [R,m] of resampled sets of these.
    """
    order = np.argsort(-scores.means, kind="stable")
    best = np.round(drawn[:, order], 12)  # sums of equal values in another order tie
    first = best == best.max(1, keepdims=True)
    sure = orders(scores)[order]
    p, critical = friedman(scores.values)
    sign = 1 if scores.column.better == "higher" else -1
    return Ranking(
        tuple(scores.methods[i] for i in order),
        sign * scores.means[order],
        (first / first.sum(1, keepdims=True)).mean(0),
        1.0 + (sure < 0).sum(1),
        len(order) - 1.0 * (sure > 0).sum(1),
        scores.ranks[:, order].mean(0),
        p,
        critical,
    )


def orders(scores: Scores, share: int = 1) -> Array:
    """Which methods are surely better by their means [m,m]: 1 where the line's is, −1 where the column's is, else 0.

    By paired t-tests of all pairs, all of them right at once at 95 % (Bonferroni).

    Args:
        scores: the values of n images.
        share: how many such matrices have to be right at once.
    """
    n, m = scores.values.shape
    if n < 2:
        return np.zeros((m, m))
    difference = scores.means[:, None] - scores.means
    covariance = np.cov(scores.values.T).reshape(m, m)
    variance = np.diag(covariance)[:, None] + np.diag(covariance) - 2 * covariance
    error = np.sqrt(np.maximum(variance, 0) / n)
    tests = share * m * (m - 1) / 2
    reach = float(stats.t.ppf(1 - (1 - LEVEL) / 2 / tests, n - 1))
    return np.where(np.abs(difference) > reach * error, np.sign(difference), 0)


def friedman(values: Array) -> tuple[float, float]:
    """Friedman's p of values [n,m], and Nemenyi's critical difference q·√(m(m+1)/6n), q of the studentised range.

    NaN for fewer than three methods, fewer than two images, or where every image ties all methods.
    """
    n, m = values.shape
    if m < 3 or n < 2 or not (np.ptp(values, 1) > 0).any():
        return float("nan"), float("nan")
    p = float(stats.friedmanchisquare(*values.T).pvalue)
    q = float(stats.studentized_range.ppf(LEVEL, m, np.inf)) / np.sqrt(2)
    return p, float(q * np.sqrt(m * (m + 1) / (6 * n)))
