"""What is known of each metric's reliability on one set of images and methods."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd

from camsbench.core.columns import Column
from camsbench.tables import bootstrap
from camsbench.tables.bootstrap import Interval, Statistic
from camsbench.tables.jackknife import delete_blocks, jackknife
from camsbench.tables.reliability.agreement import alpha, mean_tau
from camsbench.tables.reliability.controls import auroc
from camsbench.tables.reliability.generalisability import coefficient, variance_ratio
from camsbench.tables.reliability.ranking import Ranking, ranking
from camsbench.tables.reliability.scores import Scores, scores_of

IMAGES = (100, 500)  # of G
RESAMPLES = 1000


@dataclass(frozen=True)
class Reliability:
    """How far a metric can be trusted to order these methods, with intervals over images.

    Args:
        scores: the values.
        alpha: Krippendorff's α of the images as raters of the methods.
        generalisability: G(n) by n.
        controls: by control, the share of images whose map of a method is preferred to the control's.
        agreement: the mean of Kendall's τ between its order and that of each other metric.
        ranking: the methods' order and how sure it is.
    """

    scores: Scores
    alpha: Interval
    generalisability: dict[int, Interval]
    controls: dict[str, Interval]
    agreement: Interval
    ranking: Ranking


def reliability(
    rows: pd.DataFrame,
    declared: Iterable[Column] = (),
    controls: Collection[str] = (),
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Reliability]:
    """Of every metric of every network, protocol and layer of ``rows``.

    Args:
        rows: of one run, or of several on the same images.
        declared: what the runs' metrics declare, before the defaults of camsbench's own.
        controls: methods that explain nothing: they are not ranked, but compared with.
        seed: of the resamples, which all metrics of the same images share.
        resamples: how many.
    """
    every = scores_of(rows, declared, controls)
    found: dict[int, Reliability] = {}
    for _, same in groupby(sorted(every, key=_sample), _sample):
        family = list(same)
        found |= {id(one.scores): one for one in _family(family, seed, resamples)}
    return [found[id(scores)] for scores in every]


def _sample(scores: Scores) -> tuple[object, ...]:
    return (scores.setting, scores.methods, scores.images)


def _family(family: Sequence[Scores], seed: int, resamples: int) -> list[Reliability]:
    """Metrics of the same methods on the same images: the same draws of these serve all."""
    n = len(family[0].images)
    statistics: dict[tuple[object, ...], Statistic] = {}
    for place, one in enumerate(family):
        statistics |= {(place, "control", control): auroc(one, control) for control in one.controls}
        statistics |= {(place, method): bootstrap.mean(v) for method, v in zip(one.methods, one.by_method, strict=True)}
    drawn = dict(zip(statistics, bootstrap.replicates(list(statistics.values()), n, seed, resamples).T, strict=True))
    left = delete_blocks(n, seed)

    def preferred(*key: object) -> Interval:
        return bootstrap.percentile(float(statistics[key](np.ones((1, n)))[0]), drawn[key])

    def reliability_of(place: int, one: Scores) -> Reliability:
        ratio = jackknife(variance_ratio(one), n, left)
        return Reliability(
            one,
            jackknife(alpha(one), n, left),
            {images: coefficient(ratio, images) for images in IMAGES},
            {control: preferred(place, "control", control) for control in one.controls},
            mean_tau(one, [other for other in family if other is not one]),
            ranking(one, np.stack([drawn[place, method] for method in one.methods], 1)),
        )

    return [reliability_of(place, one) for place, one in enumerate(family)]
