"""Do a metric's images agree on the methods' order? Do two metrics?"""

from __future__ import annotations

from collections.abc import Sequence

import krippendorff
import numpy as np

from camsbench.tables.bootstrap import Array, Interval, Statistic
from camsbench.tables.reliability.ranking import orders
from camsbench.tables.reliability.scores import Scores


def alpha(scores: Scores) -> Statistic:
    """Krippendorff's α (ordinal) of the images as raters of the methods: 1 where all order them alike, 0 by chance.

    Each image rates a method by its rank there (Tomsett et al. 2020, "Sanity checks for saliency metrics"). Negative
    where images disagree more than chance would; NaN for one image, or where all ratings are alike.
    """
    levels, place = np.unique(scores.ranks, return_inverse=True)
    rated = (place.reshape(scores.ranks.shape)[..., None] == np.arange(len(levels))).astype(float)  # [n,m,V]

    def at(weights: Array) -> Array:
        counts = np.tensordot(weights, rated, 1)  # [R,m,V]
        return np.array([_alpha(each) for each in counts])

    return at


def _alpha(counts: Array) -> float:
    """Of how often each unit [N] was rated each value [V]."""
    if counts.sum(1).max(initial=0) < 2 or (counts.sum(0) > 0).sum() < 2:
        return float("nan")
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal"))


def tau(first: Scores, second: Scores) -> Interval:
    """Kendall's τ-b between two orders of the same methods by their means over images.

    Its interval (95 %, of the orders that all images there are would give) counts each pair of methods that either
    side cannot tell apart (``orders``) once as agreeing and once as disagreeing. NaN where one of the two ties all.
    """
    pairs = np.triu_indices(len(first.methods), 1)
    a, b = (np.sign(one.means[:, None] - one.means)[pairs] for one in (first, second))
    both = float(np.sqrt(np.count_nonzero(a) * np.count_nonzero(b)))
    if not both:
        return Interval(float("nan"), float("nan"), float("nan"))
    sure = orders(first, share=2)[pairs] * orders(second, share=2)[pairs]
    open_pairs = np.count_nonzero(sure == 0)
    low, high = ((sure.sum() + sign * open_pairs) / len(a) for sign in (-1, 1))
    return Interval(float((a * b).sum() / both), float(low), float(high))


def mean_tau(one: Scores, others: Sequence[Scores]) -> Interval:
    """The mean of ``tau`` with each of several metrics, and of its bounds; NaN where there is none."""
    found = np.array([[t.value, t.low, t.high] for t in (tau(one, other) for other in others)]).reshape(-1, 3)
    known = found[np.isfinite(found).all(1)]
    return Interval(*(map(float, known.mean(0)) if len(known) else [float("nan")] * 3))
