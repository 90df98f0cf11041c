"""One check of printed numbers, and the arithmetic that several checks share."""

from __future__ import annotations

from dataclasses import dataclass

from camsbench.tables.published import Keys, PrintedNumber

HOLDS = "holds"
ROUNDING = "within rounding"
IMPOSSIBLE = "impossible as printed"
WRONG = "wrong"
REMARK = "remark"


@dataclass(frozen=True)
class Finding:
    """A check of a table: where, what is printed, what follows from other printed numbers, and the verdict.

    ``keys`` and ``column`` name the cell, where it is one cell that was checked.
    """

    table: str
    where: str
    printed: str
    arithmetic: str
    verdict: str
    keys: Keys = ()
    column: str = ""


def where(keys: Keys, column: str) -> str:
    """A cell in words."""
    return ", ".join([*keys, column])


def fits(printed: PrintedNumber, low: float, high: float) -> bool:
    """Whether some number in [low, high] is printed as ``printed``."""
    slack = printed.half + 1e-9
    return low - slack <= printed.value <= high + slack


def quotient(a: PrintedNumber, b: PrintedNumber) -> tuple[float, float, float]:
    """a/b, and the least and the most that it can be for numbers which round to ``a`` and ``b``."""
    return a.value / b.value, (a.value - a.half) / (b.value + b.half), (a.value + a.half) / (b.value - b.half)


def check(printed: PrintedNumber, value: float, low: float, high: float) -> str:
    """holds where ``value`` itself rounds to the printed number, else within rounding, else impossible."""
    if fits(printed, value, value):
        return HOLDS
    return ROUNDING if fits(printed, low, high) else IMPOSSIBLE


def nearest_share(printed: PrintedNumber, n: int, whole: float) -> tuple[int, bool]:
    """The count k for which k/n · whole is nearest to the printed share, and whether it is printed so."""
    k = round(printed.value / whole * n)
    return k, fits(printed, k / n * whole, k / n * whole)


def smallest_fitting(printed: list[PrintedNumber], whole: float, most: int = 10_000) -> int | None:
    """The smallest number of images of which every printed share can be a whole count."""
    return next((n for n in range(1, most + 1) if all(nearest_share(cell, n, whole)[1] for cell in printed)), None)
