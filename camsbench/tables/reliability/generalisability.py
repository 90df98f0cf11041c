"""How far the methods' order would be the same on other images: generalisability theory's coefficient."""

from __future__ import annotations

import numpy as np

from camsbench.tables.bootstrap import Array, FunctionOfMeans, Interval, Statistic
from camsbench.tables.reliability.scores import Scores


def variance_ratio(scores: Scores) -> Statistic:
    """σ²_m / σ²_res: the variance of methods over what method and image leave together.

    An image's own variance moves no order. Both are estimated from the mean squares of the two-way table of images and
    methods: σ²_res is the residual one, σ²_m = (MS_m − σ²_res)/images, which may fall below 0. NaN for one image, or
    where there is no residual.
    """
    m = len(scores.methods)
    centre = scores.values.mean()  # moves nothing, and keeps small what is subtracted below
    x = scores.values - centre
    columns = ((x**2).sum(1), x.mean(1) ** 2, *scores.by_method)

    def at(weights: Array) -> Array:
        n = weights.sum(1)
        square, of_image, *means = FunctionOfMeans(columns, lambda *means: np.stack(means))(weights)
        of_method = np.stack(means, -1) - centre
        between = ((of_method - of_method.mean(-1, keepdims=True)) ** 2).sum(-1)
        rest = square - m * of_image - between
        rest = np.where(rest > 1e-12 * np.abs(square), rest, 0)  # what rounding leaves of nothing
        freedom = (n - 1) * (m - 1)
        residual = np.divide(rest * n, freedom, out=np.full_like(rest, np.nan), where=freedom > 0)
        method = between / (m - 1) - residual / n
        return np.divide(method, residual, out=np.full_like(rest, np.nan), where=residual > 0)

    return at


def coefficient(ratio: Interval, n: int) -> Interval:
    """G(n) = σ²_m / (σ²_m + σ²_res/n), in [0,1], of the ratio σ²_m/σ²_res and its interval.

    The share of the variance of the methods' means over ``n`` images that is the methods' own (Cronbach et al. 1972):
    near 1 another ``n`` images give the same order.
    """

    def of(value: float) -> float:
        return value if np.isnan(value) else max(value, 0.0) / (max(value, 0.0) + 1 / n)

    return Interval(of(ratio.value), of(ratio.low), of(ratio.high))
