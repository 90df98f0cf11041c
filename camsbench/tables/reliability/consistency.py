"""MetaQuantus (Hedström et al. 2023): does a metric keep its values under noise that changes nothing, and drop under
noise that destroys what was explained?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from camsbench.core.columns import Column
from camsbench.tables.bootstrap import Array
from camsbench.tables.grid import grid
from camsbench.tables.render import NONE

Where = Literal["input", "weights"]
Size = Literal["minor", "disruptive"]
WHERE: tuple[Where, ...] = ("input", "weights")
SIZES: tuple[Size, ...] = ("minor", "disruptive")
MEANING = (
    "Under noise that changes no prediction a metric should keep its values (IAC NR: the mean p-value of Wilcoxon's "
    "test that it does) and its order of the methods on each image (IEC NR: the share of ranks that stay); under noise "
    "that changes the prediction its values should move (IAC AR: one minus that p-value) and be worse (IEC AR: the "
    "share that are). MC is the mean of the four, from 0 to 1 (MetaQuantus, Hedström et al. 2023). "
)


@dataclass(frozen=True)
class Perturbed:
    """One metric's values of ``n`` images under ``m`` methods, before and under a perturbation that was drawn K times.

    Args:
        before: [m,n], NaN where it has none.
        under: [K,m,n].
        kept: [K,n], the images that count: whose prediction the noise left as it was (minor), or changed (disruptive).
    """

    before: Array
    under: Array
    kept: np.ndarray


@dataclass(frozen=True)
class Consistency:
    """The four consistencies of a metric, in [0,1], and how many images stand behind each side."""

    iac_nr: float
    iac_ar: float
    iec_nr: float
    iec_ar: float
    minor: int
    disruptive: int

    @property
    def mean(self) -> float:
        """MC, the mean of the four; NaN where one of them is."""
        return float(np.mean([self.iac_nr, self.iac_ar, self.iec_nr, self.iec_ar]))


def consistency(minor: Perturbed, disruptive: Perturbed, better: str) -> Consistency:
    """The consistencies of a metric.

    Ranks are those of the methods on an image, ties sharing the mean of theirs (the authors' code compares the places
    of argsort, which are the same but for ties). The authors' code asks for lower values under disruptive noise
    whatever ``better`` says, as its strings are all true; this asks for worse ones.

    Args:
        minor, disruptive: the metric's values.
        better: ``higher`` or ``lower``.
    """
    sign = 1 if better == "higher" else -1
    return Consistency(
        _mean([_same(minor, k, m) for k, m in _each(minor)]),
        1 - _mean([_same(disruptive, k, m) for k, m in _each(disruptive)]),
        _mean([_ranks_kept(minor, k) for k in range(len(minor.under))]),
        _mean([_worse(disruptive, k, sign) for k in range(len(disruptive.under))]),
        int(minor.kept.sum()),
        int(disruptive.kept.sum()),
    )


def _each(found: Perturbed) -> list[tuple[int, int]]:
    return [(k, m) for k in range(len(found.under)) for m in range(len(found.before))]


def _same(found: Perturbed, k: int, m: int) -> float:
    """Wilcoxon's p that the values of a method have not moved; zeros are split between the sides (zsplit)."""
    before, under = found.before[m][found.kept[k]], found.under[k, m][found.kept[k]]
    known = np.isfinite(before) & np.isfinite(under)
    if known.sum() < 2:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few images: the normal approximation is all there is with ties
        return float(stats.wilcoxon(before[known], under[known], zero_method="zsplit").pvalue)


def _ranks_kept(found: Perturbed, k: int) -> float:
    before, under = found.before[:, found.kept[k]], found.under[k][:, found.kept[k]]
    known = np.isfinite(before).all(0) & np.isfinite(under).all(0)
    if not known.any():
        return float("nan")
    ranks = [stats.rankdata(values[:, known], axis=0) for values in (before, under)]
    return float((ranks[0] == ranks[1]).mean())


def _worse(found: Perturbed, k: int, sign: int) -> float:
    before, under = found.before[:, found.kept[k]], found.under[k][:, found.kept[k]]
    known = np.isfinite(before) & np.isfinite(under)
    return float((sign * under < sign * before)[known].mean()) if known.any() else float("nan")


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def consistency_cells(found: Mapping[tuple[Where, Column], Consistency]) -> list[list[str]]:
    """A line a metric and place of the noise, the head first."""
    made = [["metric", "noise on", "MC", "IAC NR", "IEC NR", "IAC AR", "IEC AR", "images, minor", "images, disruptive"]]
    for (where, column), one in found.items():
        numbers = [one.mean, one.iac_nr, one.iec_nr, one.iac_ar, one.iec_ar]
        said = [NONE if np.isnan(number) else f"{number:.2f}" for number in numbers]
        made.append([column.label, where, *said, str(one.minor), str(one.disruptive)])
    return made


def consistency_markdown(found: Mapping[tuple[Where, Column], Consistency], noise: str) -> str:
    """The table with what it says."""
    return f"## Consistency under noise\n\n{grid(consistency_cells(found), left=2)}\n\n{MEANING}{noise}\n"
