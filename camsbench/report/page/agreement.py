"""Do the metrics agree on which method is better? Rank correlations between metrics, over methods and over images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from camsbench.core.columns import Column
from camsbench.report.page.columns import with_values
from camsbench.report.page.lines import PARTS, ReportLine

FEWEST = 3  # methods, below which an order says nothing


@dataclass(frozen=True)
class Agreement:
    """Of the methods of a network, protocol and layer on their common images; matrices [C,C], NaN where undefined.

    ``of_means``: Kendall's τ-b between the orders of the methods by their means under two metrics. ``of_images``:
    Spearman's ρ between the orders that two metrics give to the methods on one image, averaged over the images where
    neither ties all of them.
    """

    title: str
    methods: list[str]
    columns: list[Column]
    images: int
    of_means: np.ndarray
    of_images: np.ndarray


def agreements(lines: Sequence[ReportLine], columns: Sequence[Column]) -> list[Agreement]:
    """One for each run, network, protocol and layer with three methods or more on the same images."""
    groups: dict[tuple[int, str, str, str], list[ReportLine]] = {}
    for line in lines:
        groups.setdefault((line.run, line.model, line.protocol, line.layer), []).append(line)
    ranked = [column for column in columns if column.better and not column.seconds]
    made = [_agreement(group, ranked) for group in groups.values()]
    return [agreement for agreement in made if agreement is not None]


def _agreement(group: Sequence[ReportLine], columns: Sequence[Column]) -> Agreement | None:
    good = {line.method: line.rows[line.rows["error"].isna()].set_index("image_id") for line in group}
    most = max(map(len, good.values()))
    good = {method: rows for method, rows in good.items() if len(rows) == most}  # the others have a limit of their own
    columns = with_values(pd.concat(list(good.values())), columns)
    if len(good) < FEWEST or len(columns) < 2:
        return None
    images = next(iter(good.values())).index
    sign = {"higher": 1.0, "lower": -1.0}
    values = {
        column.name: sign[column.better]
        * np.stack([rows[column.name].reindex(images).to_numpy(float) for rows in good.values()], 1)
        for column in columns
    }  # [n,M] each, larger is better
    means = {name: np.nanmean(v, 0) if np.isfinite(v).any() else v[0] for name, v in values.items()}
    ranks = {name: _ranks(v) for name, v in values.items()}
    count = len(columns)
    of_means, of_images = np.full((count, count), np.nan), np.full((count, count), np.nan)
    for i, a in enumerate(values):
        for j, b in enumerate(values):
            of_means[i, j] = stats.kendalltau(means[a], means[b]).statistic
            products = (ranks[a] * ranks[b]).sum(1)
            known = np.isfinite(products)
            of_images[i, j] = products[known].mean() if known.any() else np.nan
    first = group[0]
    title = ", ".join(str(getattr(first, part)) for part in PARTS)
    return Agreement(title, list(good), list(columns), len(images), of_means, of_images)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks [n,M] of each image's methods, centred and of length one; NaN where all tie, or a value is missing."""
    ranks = stats.rankdata(values, axis=1)
    ranks[~np.isfinite(values).all(1)] = np.nan
    centred = ranks - ranks.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    return np.divide(centred, length, out=np.full_like(centred, np.nan), where=length > 0)
