"""The table of an experiment: what a paper printed beside what the experiment's runs measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from camsbench.core.columns import merge_columns
from camsbench.files import write_text
from camsbench.report.summary import Outcome
from camsbench.tables import pairs
from camsbench.tables.paper import compare
from camsbench.tables.spread import spread_markdown

SMOKE = (
    "This is a smoke run: another network ({models}) on {images} images stands in for the paper's. It proves the "
    "pipeline, not the paper."
)

BETWEEN = """## Between methods

Each method beside its neighbour by mean, on the images that both have: the difference with its 95 % interval (paired
bootstrap), the p-value (Wilcoxon's signed ranks, Holm-corrected over all pairs of a column), and how many images would
separate the two (95 %, power 80 %). Values in [0,1]; all pairs are in pairs.csv."""


def write(cfg: DictConfig, done: Sequence[Outcome], folder: Path) -> str:
    """Write ``table.csv``, ``table.md``, ``table.tex`` and ``pairs.csv`` to the experiment folder; return the Markdown.

    Args:
        cfg: the experiment, with its ``table`` (see ``camsbench.tables.spec.Spec``); ``table.smoke`` replaces what a
            smoke run has otherwise.
        done: the runs that could be done.
        folder: the experiment's folder.
    """
    rows = pd.concat([outcome.rows for outcome in done], ignore_index=True)
    spec, remarks = spec_of(cfg, rows, [outcome.config for outcome in done])
    declared = merge_columns(column for outcome in done for column in outcome.columns)
    comparison = compare(spec, rows, cfg.seed, declared)
    between = pairs.pairs(rows, seed=cfg.seed, declared=declared)
    text = f"{comparison.markdown(remarks)}\n{BETWEEN}\n\n{pairs.markdown(between)}\n"
    spreads = [outcome.spread for outcome in done if outcome.spread is not None]
    if spreads:
        text += f"\n## Spread over draws\n\n{spread_markdown(pd.concat(spreads))}\n"
    write_text(folder / "pairs.csv", between.to_csv(index=False))
    for name, content in (("table.csv", comparison.csv()), ("table.tex", comparison.latex()), ("table.md", text)):
        write_text(folder / name, content)
    return text


def spec_of(cfg: DictConfig, rows: pd.DataFrame, runs: Sequence[DictConfig]) -> tuple[dict[str, Any], list[str]]:
    """How an experiment's rows stand beside its published table, and what is said under the table's title.

    Args:
        cfg: the experiment.
        rows: those of all its runs.
        runs: the configurations of its runs.
    """
    spec: dict[str, Any] = OmegaConf.to_container(cfg.table, resolve=True)  # type: ignore[assignment]
    smoke = spec.pop("smoke", {})
    remarks = []
    if cfg.smoke:
        spec |= smoke
        images = rows["image_id"].nunique()
        remarks.append(SMOKE.format(models=", ".join(sorted(set(rows["model"]))), images=images))
    spec["incomparable"] = spec.get("incomparable") or _incomparable(runs)
    return spec, remarks


def _incomparable(configs: Sequence[DictConfig]) -> str | None:
    """Why no value of these runs can be held against a paper's, if so."""
    reasons = []
    if any(cfg.data.name != "ilsvrc2012" for cfg in configs):
        reasons.append("other images")
    if any(cfg.model.name == "tf_efficientnet_lite0" for cfg in configs):
        reasons.append("another network")
    if any(cfg.model.weights == "random" for cfg in configs):
        reasons.append("random weights")
    return ", ".join(reasons) or None
