"""The columns of a report: how each is called, which way is better, and how its numbers are written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from camsbench.report.page.source import Source
from camsbench.store.schema import HEAD, TAIL
from camsbench.tables.summary import ARROWS, POINTING, SHORT, TIMES


@dataclass(frozen=True)
class Column:
    """A column of numbers. ``source`` is the rows' column, ``statistic`` how a line's number is made of it."""

    name: str
    title: str
    better: str = ""  # higher, lower, or empty
    percent: bool = False
    statistic: str = "mean"  # a name of camsbench.tables.measure.STATISTICS
    source: str = ""

    def plain(self) -> dict[str, Any]:
        """What the page needs of it."""
        return {"name": self.name, "title": self.title, "better": self.better, "percent": self.percent}

    @property
    def head(self) -> str:
        """The title with the arrow towards better."""
        return self.title + ARROWS.get(self.better, "")

    def said(self, value: float) -> str:
        """A number of this column."""
        if value is None or math.isnan(value):
            return "–"
        if self.percent:
            return f"{100 * value:.2f}"
        return f"{value:.3f}" if self.name in {*TIMES, "seconds"} else f"{value:.4g}"


SECONDS = Column("seconds", "s/image", "lower", source="seconds")
PROBABILITY = Column("probability", "probability", percent=True, source="probability")


def of_images(runs: Sequence[Source]) -> list[Column]:
    """The metrics' columns that some image has a value of, in the papers' order, then the seconds of an image."""
    better: dict[str, str] = {}
    for run in runs:
        better |= run.better
    have = {name for run in runs for name in run.rows.columns if run.rows[name].notna().any()} - {*HEAD, *TAIL}
    names = [name for name in dict.fromkeys((*SHORT, *better)) if name in have]
    made = [Column(name, SHORT.get(name, name), better.get(name, ""), name in SHORT, source=name) for name in names]
    return [*made, SECONDS]


def of_lines(columns: Sequence[Column]) -> list[Column]:
    """The columns of the leaderboard: those of the images as statistics of a line, as the run's summary has them.

    ADCC is the harmonic mean of the means (what papers print), beside the mean of the images' own; times are medians;
    pointing has the mean of the classes' accuracies beside that of the images.
    """
    by_name = {column.name: column for column in columns}
    made = []
    for column in columns:
        if column.name == "adcc":
            if {"drop", "coherency", "complexity"} <= by_name.keys():
                made.append(Column("adcc", "ADCC", "higher", True, "adcc", "adcc"))
            made.append(Column("adcc_mean", SHORT["adcc_mean"], "higher", True, source="adcc"))
            continue
        statistic = "median" if column.name in TIMES else "mean"
        made.append(Column(column.name, column.title, column.better, column.percent, statistic, column.source))
        if column.name in POINTING:
            name = f"{column.name}_class"
            made.append(Column(name, SHORT[name], column.better, True, "class_mean", column.source))
    return made


def defined(rows: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    """Those of the columns that these rows have a value of."""
    return [column for column in columns if column.source in rows and rows[column.source].notna().any()]
