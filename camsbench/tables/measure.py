"""The rows of one network as one sample of images, and the statistics of it that tables print."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from camsbench.core.columns import CURVE, OfMeans, Reduction
from camsbench.tables import bootstrap
from camsbench.tables.bootstrap import Array, Statistic
from camsbench.tables.curves import by_image, curve_columns
from camsbench.tables.means import known

LINE = ["method", "protocol", "layer"]


@dataclass(frozen=True)
class LineKey:
    """What the rows of one line have in common, beside the network."""

    method: str
    protocol: str
    layer: str


@dataclass(frozen=True)
class Sample:
    """The images of one network's rows; a line that lacks an image is NaN there, and so stays paired with the rest."""

    images: list[str]
    labels: np.ndarray  # [n]
    rows: dict[LineKey, pd.DataFrame]  # good rows by image, several seeds of an image averaged
    degenerate: dict[LineKey, int]
    errors: dict[LineKey, int]
    curves: dict[LineKey, dict[str, Array]] = field(default_factory=dict)  # [n,m] each

    @classmethod
    def of(cls, rows: pd.DataFrame) -> Sample:
        """The sample of one network's rows; rows with an error are counted and left out."""
        good = rows[rows["error"].isna()]
        labels = good.drop_duplicates("image_id").set_index("image_id")["label"]
        numbers = [c for c in rows.columns if pd.api.types.is_float_dtype(rows[c]) and c not in {"error", "label"}]
        images = list(labels.index)
        by_line: dict[LineKey, pd.DataFrame] = {}
        curves: dict[LineKey, dict[str, Array]] = {}
        degenerate, errors = {}, {}
        for key, chosen in rows.groupby(LINE, sort=False):
            line = LineKey(*(str(part) for part in key))
            kept = chosen[chosen["error"].isna()]
            by_line[line] = kept.groupby("image_id", sort=False)[numbers].mean()
            curves[line] = {name: by_image(kept, name, images) for name in curve_columns(rows.columns)}
            degenerate[line] = int((kept["degenerate"] == True).sum())  # noqa: E712 - null is neither
            errors[line] = len(chosen) - len(kept)
        return cls(images, labels.fillna(-1).to_numpy(np.int64), by_line, degenerate, errors, curves)

    def values(self, line: LineKey, column: str) -> Array:
        """A column [n] of a line, or its curve [n,m], image by image; NaN where it has none."""
        if column.startswith(CURVE):
            return self.curves[line].get(column, np.full((len(self.images), 1), np.nan))
        frame = self.rows[line]
        if column not in frame:
            return np.full(len(self.images), np.nan)
        return frame[column].reindex(self.images).to_numpy(float)


@dataclass(frozen=True)
class Estimate:
    """A statistic of a line, how many images stand behind it, and what it would be of other images."""

    statistic: Statistic
    n: int


def _mean(sample: Sample, line: LineKey, column: str, reference: LineKey | None) -> Estimate:
    values = sample.values(line, column)
    return Estimate(bootstrap.mean(values), _count(values))


def _median(sample: Sample, line: LineKey, column: str, reference: LineKey | None) -> Estimate:
    values = sample.values(line, column)
    return Estimate(bootstrap.median(values), _count(values))


def _rate(sample: Sample, line: LineKey, column: str, reference: LineKey | None) -> Estimate:
    values = sample.values(line, column)
    return Estimate(bootstrap.rate(values), _count(values))


def _class_mean(sample: Sample, line: LineKey, column: str, reference: LineKey | None) -> Estimate:
    values = sample.values(line, column)
    return Estimate(bootstrap.class_mean(values, sample.labels), _count(values))


def _ratio(sample: Sample, line: LineKey, column: str, reference: LineKey | None) -> Estimate:
    if reference is None or reference == line:
        return Estimate(bootstrap.mean(np.full(len(sample.images), np.nan)), 0)  # of itself it says nothing
    values, below = sample.values(line, column), sample.values(reference, column)
    return Estimate(bootstrap.ratio(values, below), _count(values, below))


# name -> (sample, line, measured column, line of the reference method) -> the statistic and its n
STATISTICS: dict[str, Callable[[Sample, LineKey, str, LineKey | None], Estimate]] = {
    "mean": _mean,
    "median": _median,
    "rate": _rate,
    "class_mean": _class_mean,
    "ratio": _ratio,
}


def estimate(
    sample: Sample, line: LineKey, column: str, reduction: Reduction, reference: LineKey | None = None
) -> Estimate:
    """A column of a line, reduced.

    Args:
        sample: the images.
        line: whose values.
        column: of the rows.
        reduction: a name of ``STATISTICS``, or a function of several columns' means.
        reference: the line that ratios divide by.
    """
    if isinstance(reduction, OfMeans):
        parts = [sample.values(line, part) for part in reduction.columns]
        return Estimate(bootstrap.of_means(parts, reduction.function), _count(*parts))
    return STATISTICS[reduction](sample, line, column, reference)


def _count(*columns: Array) -> int:
    """Images that have a value in every one of the columns [n] and curves [n,m]."""
    return int(np.logical_and.reduce([known(column) for column in columns]).sum())
