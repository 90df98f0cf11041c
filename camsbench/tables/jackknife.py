"""Delete-a-block jackknife over images: the error of statistics that resampling with replacement would bias.

An image drawn twice agrees with itself: of statistics of pairs of images (agreement between them, components of
variance) a bootstrap shows more agreement than there is. Here no image stands twice.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from camsbench.tables.bootstrap import LEVEL, Array, Interval, Statistic

BLOCKS = 200


def delete_blocks(n: int, seed: int, blocks: int = BLOCKS) -> Array:
    """Weights [g,n]: each line leaves out another block of ``n`` images in random order, or one image."""
    g = min(n, blocks)
    block = np.random.default_rng(seed).permutation(n) % g
    return (block != np.arange(g)[:, None]).astype(float)


def jackknife(statistic: Statistic, n: int, weights: Array) -> Interval:
    """The statistic of all ``n`` images with its interval value ± t·error (95 %), NaN where it has none.

    Args:
        statistic: of the images.
        n: images.
        weights: of ``delete_blocks``.
    """
    value = float(statistic(np.ones((1, n)))[0])
    left = statistic(weights)
    g = len(left)
    if g < 2 or not np.isfinite(left).all():
        return Interval(value, float("nan"), float("nan"))
    error = float(np.sqrt((g - 1) / g * ((left - left.mean()) ** 2).sum()))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, g - 1)) * error
    return Interval(value, value - reach, value + reach, error)
