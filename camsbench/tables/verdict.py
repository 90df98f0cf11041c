"""What a published and a measured number say of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

from camsbench.tables.bootstrap import Interval
from camsbench.tables.published import PrintedNumber

AGREES = "agrees"
DIFFERS = "differs"
INCOMPARABLE = "not comparable"
IMPOSSIBLE = "impossible as printed"
UNMEASURED = "not measured"
UNPUBLISHED = "not published"
MARKS = {AGREES: "✓", DIFFERS: "✗", INCOMPARABLE: "–", IMPOSSIBLE: "!", UNMEASURED: "", UNPUBLISHED: ""}


@dataclass(frozen=True)
class Verdict:
    """One of the words above, and the sentence behind it (empty where the numbers say it all)."""

    word: str
    reason: str = ""


def covers(published: PrintedNumber, measured: Interval) -> bool:
    """Whether the printed value lies in the interval widened by what rounding may have moved it."""
    slack = published.half + 1e-9
    return measured.low - slack <= published.value <= measured.high + slack


def judge(
    published: PrintedNumber | None,
    measured: Interval | None,
    n: int,
    incomparable: str | None = None,
    impossible: str | None = None,
) -> Verdict:
    """The verdict on one cell; numbers in the printed unit.

    A number that is impossible as printed stays so whatever is measured; the reason then says whether the interval
    holds it all the same. ``incomparable`` is the sentence that forbids a comparison.
    """
    if published is None:
        return Verdict(UNPUBLISHED)
    known = measured is not None and n > 0 and not math.isnan(measured.value)
    if impossible is not None:
        if measured is None or not known or n < 2 or incomparable:
            return Verdict(IMPOSSIBLE, impossible)
        where = "inside" if covers(published, measured) else "outside"
        return Verdict(IMPOSSIBLE, f"{impossible}; it lies {where} the measured interval")
    if measured is None or not known:
        return Verdict(UNMEASURED)
    if incomparable:
        return Verdict(INCOMPARABLE, incomparable)
    if n < 2:
        return Verdict(INCOMPARABLE, "one image gives no interval")
    return Verdict(AGREES if covers(published, measured) else DIFFERS)
