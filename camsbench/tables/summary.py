"""Rows to the summary of a run: one line a method."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch

from camsbench.metrics.adcc import harmonic
from camsbench.store.schema import HEAD, TAIL
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
    "pointing": "Point",
    "pointing_class": "Point/class",
    "pointing_15px": "Point15",
    "pointing_15px_class": "Point15/class",
    "energy_pointing": "EnergyPoint",
}
TIMES = ("time", "time_plain")
POINTING = ("pointing", "pointing_15px")
ARROWS = {"higher": " ↑", "lower": " ↓"}
COUNTS = {"n_error": "errors", "n_degenerate": "degenerate", "seconds": "s/image"}  # of a batch, shared work left out


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """One line a method (model, protocol and layer, where there are several): means of its metrics, and counts.

    ``n`` counts rows without an error; means are over these, degenerate maps included, but not over images for which a
    metric is not defined. ``adcc`` is the harmonic mean of the three *means* (what papers print), ``adcc_mean`` the
    mean of the images' own ADCC; ``time`` and ``time_plain`` are medians; ``pointing_class`` is the mean of the
    classes' own accuracies.
    """
    metrics = [column for column in rows.columns if column not in HEAD and column not in TAIL]
    good = rows[rows["error"].isna()]
    keys = ["method", *(key for key in ("model", "protocol", "layer") if len(set(rows[key])) > 1)]
    groups = good.groupby(keys, sort=False)
    means = groups[[*metrics, "seconds"]].mean()
    times = [name for name in TIMES if name in metrics]
    means[times] = groups[times].median()
    for name in [name for name in POINTING if name in metrics]:
        means[f"{name}_class"] = [class_average(group, name) for _, group in groups]
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
    """A summary as a Markdown table, with an arrow towards ``better``; the papers' metrics are in percent."""
    shown = summary.copy()
    for column in shown.columns.difference(["method", "model", "protocol", "layer", "n", "n_error", "n_degenerate"]):
        said = "{:.3f}" if column in {*TIMES, "seconds"} else "{:.4g}"
        values = 100 * shown[column] if column in SHORT else shown[column]
        form = "{:.2f}" if column in SHORT else said
        shown[column] = [form.format(value) if pd.notna(value) else "–" for value in values]
    derived = {"adcc_mean": "adcc", "adcc": "adcc", **{f"{name}_class": name for name in POINTING}}
    ways = {**better, **{name: better.get(column, "higher") for name, column in derived.items()}}
    titles = {c: SHORT.get(c, c) + ARROWS[ways[c]] for c in shown.columns if c in ways}
    shown = shown.rename(columns={**COUNTS, **titles})
    cells = [list(shown.columns), *([str(v) for v in line] for line in shown.itertuples(index=False))]
    return grid(cells)


def class_average(rows: pd.DataFrame, column: str) -> float:
    """Mean over classes of each class's mean of ``column`` (TorchRay's accuracy), over the rows where it is defined.

    ``rows`` are those of one method; a class is their ``label``, since boxes are those of the labelled object. Classes
    without a defined value are left out, where TorchRay, whose data sets have none, would count them 0. NaN when no
    row has a value.
    """
    known = rows[rows[column].notna()]
    return float(known.groupby("label")[column].mean().mean())
