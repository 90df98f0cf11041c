"""The parts of a page that are tables: the leaderboard, agreement, pairs, the audit, and what to beware of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from camsbench.report.page.agreement import Agreement
from camsbench.report.page.columns import columns_of_runs, head
from camsbench.report.page.standings import Standing
from camsbench.report.saved_run import SavedRun
from camsbench.tables import pairs, render
from camsbench.tables.audit import findings
from camsbench.tables.audit.finding import IMPOSSIBLE, WRONG, Finding
from camsbench.tables.columns import SummaryColumn, text_of
from camsbench.tables.published import load
from camsbench.tables.subgroups import split_summary


def leaderboard(standings: Sequence[Standing], columns: Sequence[SummaryColumn]) -> dict[str, Any]:
    """Cells of the leaderboard as text and number; the best of a column is marked, among lines of the most images."""
    most = max(standing.n for standing in standings)
    best = [_best(standings, place, column, most) for place, column in enumerate(columns)]
    rows = [
        {
            "label": standing.line.label,
            "n": standing.n,
            "errors": standing.errors,
            "degenerate": standing.degenerate,
            "cells": [
                {
                    "value": "" if cell is None or math.isnan(cell.value) else repr(cell.value),
                    "said": text_of(column.source, cell.value) if cell else render.NONE,
                    "interval": f"[{text_of(column.source, cell.low)}, {text_of(column.source, cell.high)}]"
                    if cell and not math.isnan(cell.low)
                    else "",
                    "best": cell is not None and standing.n == most and cell.value == best[place],
                }
                for place, (cell, column) in enumerate(zip(standing.cells, columns, strict=True))
            ],
        }
        for standing in standings
    ]
    several = len({standing.n for standing in standings}) > 1
    note = "Methods with another n ran on other images: compare within the same n only." if several else ""
    heads = [{"head": head(column), "better": column.source.better} for column in columns]
    return {"columns": heads, "rows": rows, "note": note}


def _best(standings: Sequence[Standing], place: int, column: SummaryColumn, most: int) -> float | None:
    values = [s.cells[place].value for s in standings if s.n == most and s.cells[place] is not None]  # type: ignore[union-attr]
    values = [value for value in values if not math.isnan(value)]
    if not column.source.better or len(set(values)) < 2:  # where all tie, none is best
        return None
    return max(values) if column.source.better == "higher" else min(values)


def agreement(found: Sequence[Agreement]) -> list[dict[str, Any]]:
    """The matrices as cells with a sign and a weight for their colour."""

    def cells(matrix: np.ndarray) -> list[list[dict[str, str]]]:
        return [
            [
                {"said": f"{v:.2f}", "weight": f"{abs(v):.2f}", "sign": "+" if v >= 0 else "-"}
                if math.isfinite(v)
                else {"said": render.NONE, "weight": "0", "sign": ""}
                for v in row
            ]
            for row in matrix
        ]

    return [
        {
            "title": one.title,
            "methods": one.methods,
            "columns": one.columns,
            "images": one.images,
            "matrices": [
                ("Of the means: Kendall's τ-b between the orders of the methods", cells(one.of_means)),
                ("Of single images: Spearman's ρ, averaged over images", cells(one.of_images)),
            ],
        }
        for one in found
    ]


def pairs_table(runs: Sequence[SavedRun]) -> dict[str, Any] | None:
    """Every pair of methods; None where no run, or no experiment, has two."""
    rows = pd.concat([run.rows for run in runs], ignore_index=True)
    if len(runs) > 1 and not rows.duplicated(["model", "protocol", "layer", "method", "image_id"]).any():
        # methods of two runs of one network stand beside each other as well
        table = pairs.pairs(rows, seed=runs[0].seed, declared=columns_of_runs(runs))
    else:
        table = pd.concat([run.pairs for run in runs], ignore_index=True)
    if table.empty:
        return None
    several = [name for name in ("model", "protocol", "layer") if len(set(table[name])) > 1]
    left = [*several, "column", "a", "b"]
    head = [*several, "column", "higher", "lower", "difference", "95 % interval", "n", "p (Holm)", "images needed"]
    made = []
    for row in table.to_dict("records"):
        numbers = [
            (f"{row['difference']:.4f}", _value(row["difference"])),
            (render.interval(row["low"], row["high"], 4), _value(row["low"])),
            (str(row["n"]), str(row["n"])),
            ("<0.001" if row["p_holm"] < 0.001 else f"{row['p_holm']:.3f}", _value(row["p_holm"])),
            (pairs.count(row["images_needed"]), _value(row["images_needed"])),
        ]
        cells = [(str(row[name]), "") for name in left] + numbers
        made.append({"column": row["column"], "neighbours": "true" if row["neighbours"] else "false", "cells": cells})
    return {"head": head, "left": len(left), "rows": made, "columns": list(dict.fromkeys(table["column"]))}


def subgroup_tables(runs: Sequence[SavedRun]) -> list[tuple[str, list[list[str]]]]:
    """Of each run with ``summary.by`` a caption, and its split summary as text, the head first."""
    made = []
    for run in runs:
        found = split_summary(run.config, run.rows, run.columns, run.classes)
        if found is not None:
            caption = f"{run.path.name}, by {found.by}" if len(runs) > 1 else f"By {found.by}"
            made.append((caption, found.text_cells(run.columns)))
    return made


def _value(number: float) -> str:
    return "" if math.isnan(number) else "1e999" if math.isinf(number) else repr(float(number))


def audit() -> list[tuple[str, list[tuple[str, list[Finding]]]]]:
    """For each published table what does not fit, and the other checks."""
    found = findings()
    made = []
    for name in dict.fromkeys(finding.table for finding in found):
        checks = [finding for finding in found if finding.table == name]
        wrong = [finding for finding in checks if finding.verdict in (IMPOSSIBLE, WRONG)]
        rest = [finding for finding in checks if finding.verdict not in (IMPOSSIBLE, WRONG)]
        made.append((load(name).title, [("What does not fit", wrong), ("The other checks", rest)]))
    return made


def warnings(runs: Sequence[SavedRun]) -> list[str]:
    """What a reader must know before any number: rows that failed, that are missing, maps that say nothing."""
    said = []
    for run in runs:
        where = f"{run.path.name}: " if len(runs) > 1 else ""
        failed, flat = int(run.rows["error"].notna().sum()), int(run.rows["degenerate"].eq(True).sum())
        if failed:
            images = run.rows.loc[run.rows["error"].notna(), "image_id"].nunique()
            said.append(f"{where}{failed:,} rows of {images:,} images failed and are in no number.")
        if flat:
            said.append(f"{where}{flat:,} maps are degenerate, the same everywhere; they count in every number.")
        if (missing := run.expected_rows - len(run.rows)) > 0:
            said.append(f"{where}{missing:,} of {run.expected_rows:,} rows are not there yet: the run is not finished.")
        if run.config.model.weights == "random":
            said.append(f"{where}the network's weights are random: no number says anything about a trained one.")
    return said
