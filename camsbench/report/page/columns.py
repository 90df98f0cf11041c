"""The columns of a report: those of images, and those of lines, as the run's summary has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from camsbench.core.columns import Column, merge_columns
from camsbench.report.saved_run import SavedRun
from camsbench.tables.columns import SECONDS, SummaryColumn, metric_columns, summary_columns
from camsbench.tables.summary import ARROWS

PROBABILITY = Column("probability", "", percent=True)


def columns_of_runs(runs: Iterable[SavedRun]) -> list[Column]:
    """What the metrics of the runs declare; the first run's, where several do of one name."""
    return merge_columns(column for run in runs for column in run.columns)


def of_images(runs: Sequence[SavedRun]) -> list[Column]:
    """The metrics' columns that some image has a value of, in the papers' order, then the seconds of an image."""
    names = dict.fromkeys(name for run in runs for name in run.rows.columns if run.rows[name].notna().any())
    return [*metric_columns(names, columns_of_runs(runs)), SECONDS]


def of_lines(columns: Sequence[Column], curves: Iterable[str] = ()) -> list[SummaryColumn]:
    """The columns of the leaderboard: those of the images as numbers of a line, as the run's summary has them.

    Args:
        columns: of the images.
        curves: the columns of the runs' rows that hold curves, for numbers that are made of these.
    """
    seconds = [SummaryColumn(SECONDS.name, SECONDS.label, SECONDS, "mean")] if SECONDS in columns else []
    return [*summary_columns([*(column.name for column in columns), *curves], columns), *seconds]


def with_values(rows: pd.DataFrame, columns: Sequence[Column]) -> list[Column]:
    """Those of the columns that these rows have a value of."""
    return [column for column in columns if column.name in rows and rows[column.name].notna().any()]


def head(column: Column | SummaryColumn) -> str:
    """What a table calls a column, with the arrow towards better."""
    if isinstance(column, SummaryColumn):
        return column.title + ARROWS.get(column.source.better, "")
    return column.label + ARROWS.get(column.better, "")


def plain(column: Column) -> dict[str, Any]:
    """What the page's script needs of a column."""
    return {
        "name": column.name,
        "title": column.label,
        "better": column.better,
        "percent": column.percent,
        "seconds": column.seconds,
    }
