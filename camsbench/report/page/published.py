"""Published tables as cells of a page: the printed value, the measured one with its interval, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from camsbench.report.page.columns import columns_of_runs
from camsbench.report.page.input import Experiment
from camsbench.report.papertable import spec_of
from camsbench.tables import render
from camsbench.tables.paper import compare
from camsbench.tables.published import Published
from camsbench.tables.verdict import MARKS


@dataclass(frozen=True)
class TableCell:
    """A cell of a measured line: numbers as text, the verdict's word and mark, and the number of its note."""

    value: str
    interval: str = ""
    verdict: str = ""
    mark: str = ""
    note: int | None = None


@dataclass(frozen=True)
class TableRow:
    """A line of a block: of the paper (``cells`` is text) or measured."""

    method: str
    published: bool
    cells: list[TableCell]
    counts: tuple[str, ...] = ()  # n, degenerate, errors


@dataclass
class PaperTable:
    """One published table: blocks a network, with the notes that cells refer to."""

    title: str
    note: str
    tally: str
    remarks: list[str]
    head: list[str]
    blocks: list[tuple[str, list[TableRow]]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def paper_tables(experiments: Sequence[Experiment]) -> list[PaperTable]:
    """The tables of those experiments that have one."""
    return [_table(experiment) for experiment in experiments if experiment.config.get("table")]


def _table(experiment: Experiment) -> PaperTable:
    rows = pd.concat([run.rows for run in experiment.runs], ignore_index=True)
    spec, remarks = spec_of(experiment.config, rows, [run.config for run in experiment.runs])
    comparison = compare(spec, rows, int(experiment.config.seed), columns_of_runs(experiment.runs))
    published, long = comparison.table, comparison.long
    shown, missing = render.shown_and_missing(published, long)
    head = [render.title(column) for column in published.columns]
    made = PaperTable(published.title, published.note, render.tally(long), remarks, head, missing=missing)
    for block in shown:
        made.blocks.append((block.title, _rows(published, block, made.notes)))
    return made


def _rows(table: Published, block: render.Block, notes: list[str]) -> list[TableRow]:
    rows = []
    for label, first, cells in render.lines(block):
        by = {row["column"]: row for row in cells.to_dict("records")}
        found = [by[column.name] for column in table.columns]
        if first:
            rows.append(TableRow(label, True, [TableCell(row["published"] or render.NONE) for row in found]))
        if not found[0]["measured_method"]:
            continue
        places = [table.decimals(column.name) for column in table.columns]
        measured = [_cell(row, decimals, notes) for row, decimals in zip(found, places, strict=True)]
        rows.append(TableRow(render.measured_name(block, cells), False, measured, render.behind(found)))
    return rows


def _cell(row: dict[Any, Any], decimals: int, notes: list[str]) -> TableCell:
    note = None
    if row["reason"]:
        if row["reason"] not in notes:
            notes.append(row["reason"])
        note = notes.index(row["reason"]) + 1
    value, between = render.number(row["measured"], decimals), render.interval(row["low"], row["high"], decimals)
    return TableCell(value, "" if between == render.NONE else between, row["verdict"], MARKS[row["verdict"]], note)
