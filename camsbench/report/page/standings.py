"""The leaderboard: a line's number of each column with its interval, of the same resamples of a run's images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from camsbench.report.page.lines import ReportLine
from camsbench.report.saved_run import SavedRun
from camsbench.tables import bootstrap
from camsbench.tables.bootstrap import Interval
from camsbench.tables.columns import SummaryColumn
from camsbench.tables.measure import LineKey, Sample, estimate


@dataclass(frozen=True)
class Standing:
    """A line with its numbers by column (None: it has none), and how many rows stand behind them."""

    line: ReportLine
    cells: list[Interval | None]
    n: int
    errors: int
    degenerate: int


def standings(
    runs: Sequence[SavedRun], lines: Sequence[ReportLine], columns: Sequence[SummaryColumn]
) -> list[Standing]:
    """A standing for each line, in their order."""
    made: dict[int, Standing] = {}
    for place, run in enumerate(runs):
        own = [i for i, line in enumerate(lines) if line.run == place]
        sample = Sample.of(run.rows)
        wanted = {i: LineKey(lines[i].method, lines[i].protocol, lines[i].layer) for i in own}
        measured = {
            (i, c): estimate(sample, line, column.source.name, column.reduction)
            for i, line in wanted.items()
            for c, column in enumerate(columns)
            if set(column.needs) <= set(run.rows)
        }
        known = {key: m for key, m in measured.items() if m.n}
        drawn = bootstrap.intervals([m.statistic for m in known.values()], len(sample.images), run.seed)
        found = dict(zip(known, drawn, strict=True))
        for i, line in wanted.items():
            rows = lines[i].rows
            errors = int(rows["error"].notna().sum())
            cells = [
                _interval_of(found.get((i, c)), known[i, c].n if (i, c) in known else 0) for c in range(len(columns))
            ]
            made[i] = Standing(lines[i], cells, len(rows) - errors, errors, sample.degenerate[line])
    return [made[i] for i in range(len(lines))]


def _interval_of(interval: Interval | None, n: int) -> Interval | None:
    """One image gives no interval."""
    return Interval(interval.value, float("nan"), float("nan")) if interval is not None and n < 2 else interval
