"""Rows to the summary of a run: one line a method."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch

from camsbench.metrics.adcc import harmonic
from camsbench.store import HEAD, TAIL
from camsbench.tables.grid import grid

SHORT = {  # the names and the order of the papers' columns
    "drop": "Drop",
    "increase": "Inc",
    "deletion": "Del",
    "insertion": "Ins",
    "coherency": "Coher",
    "complexity": "Compl",
    "adcc": "ADCC",
    "adcc_mean": "ADCC/image",
}
ARROWS = {"higher": " ↑", "lower": " ↓"}
COUNTS = {"n_error": "errors", "n_degenerate": "degenerate", "seconds": "s/image"}


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a method (and layer): means of its metrics in [0,1], seconds, and how many images stand behind them.

    ``n`` counts rows without an error; means are over these, degenerate maps included. ``adcc`` is the harmonic mean
    of the three *means* (what papers print), ``adcc_mean`` the mean of the images' own ADCC.
    """
    metrics = [column for column in rows.columns if column not in HEAD and column not in TAIL]
    good = rows[rows["error"].isna()]
    keys = ["method", "layer"] if len(set(rows["layer"])) > 1 else ["method"]
    means = good.groupby(keys, sort=False)[[*metrics, "seconds"]].mean()
    counts = rows.groupby(keys, sort=False).agg(
        n=("error", lambda error: int(error.isna().sum())),
        n_error=("error", lambda error: int(error.notna().sum())),
        n_degenerate=("degenerate", lambda flags: int((flags == True).sum())),  # noqa: E712 - null is neither
    )
    table = counts.join(means)
    if "adcc" in metrics:
        table = table.rename(columns={"adcc": "adcc_mean"})
    if {"drop", "coherency", "complexity"} <= set(metrics):
        parts = (torch.tensor(table[name].to_numpy(float)) for name in ("drop", "coherency", "complexity"))
        table["adcc"] = harmonic(*parts).numpy()
    ordered = [name for name in SHORT if name in table]
    others = [name for name in metrics if name not in SHORT]
    return table[["n", "n_error", "n_degenerate", *ordered, *others, "seconds"]].reset_index()


def markdown(summary: pd.DataFrame, better: Mapping[str, str]) -> str:
    """A summary as a Markdown table: metrics in percent, with an arrow towards ``better``; seconds an image."""
    shown = summary.copy()
    for column in [c for c in shown.columns if c not in {"method", "layer", "n", "n_error", "n_degenerate", "seconds"}]:
        shown[column] = [f"{100 * value:.2f}" if pd.notna(value) else "–" for value in shown[column]]
    shown["seconds"] = [f"{value:.3f}" if pd.notna(value) else "–" for value in shown["seconds"]]
    ways = {**better, "adcc_mean": better.get("adcc", "higher"), "adcc": "higher"}
    titles = {c: SHORT.get(c, c) + ARROWS[ways[c]] for c in shown.columns if c in ways}
    shown = shown.rename(columns={**COUNTS, **titles})
    cells = [list(shown.columns), *([str(v) for v in line] for line in shown.itertuples(index=False))]
    return grid(cells)
