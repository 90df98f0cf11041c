"""The spread of a table over repeated draws of images: what a table of 500 images could as well have said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
from omegaconf import DictConfig, ListConfig

from camsbench.core.columns import Column
from camsbench.data import draws as frozen
from camsbench.errors import CamsbenchError
from camsbench.tables.grid import grid
from camsbench.tables.summary import summarise


def spread(rows: pd.DataFrame, draws: Sequence[int], n: int, columns: Iterable[Column] = ()) -> pd.DataFrame:
    """How far a table of ``n`` images moves from draw to draw, one line a method and column.

    Args:
        rows: rows of a run with ``data.draw=[...]`` (any number of models, layers, methods and protocols).
        draws: the draws to compare, at least two.
        n: images of each draw, its first ones.
        columns: what the run's metrics declare, before the defaults of camsbench's own.

    Returns:
        ``model``, ``protocol``, ``method`` (and ``layer``, where there are several), ``column``, then over the draws
        ``min``, ``median``, ``max`` and ``sd`` (of a sample, not of a population) of what ``tables.summarise`` gives,
        in the columns' own units.

    Raises:
        CamsbenchError: fewer than two draws, or rows that lack images of a draw.
    """
    if len(set(draws)) < 2:
        raise CamsbenchError(f"draws={list(draws)}: a spread needs at least two different draws")
    declared, lines = list(columns), []
    for (model, protocol), part in rows.groupby(["model", "protocol"], sort=False):
        for draw in draws:
            summary = summarise(_of_draw(part, draw, n), declared)
            keys = [key for key in ("method", "layer") if key in summary]
            values = summary.drop(columns=["n", "n_error", "n_degenerate"])
            lines.append(values.melt(id_vars=keys, var_name="column").assign(model=str(model), protocol=str(protocol)))
    long = pd.concat(lines, ignore_index=True)
    by = ["model", "protocol", *(key for key in ("method", "layer") if key in long), "column"]
    return long.groupby(by, sort=False)["value"].agg(min="min", median="median", max="max", sd="std").reset_index()


def spread_of(cfg: DictConfig, rows: pd.DataFrame, columns: Iterable[Column] = ()) -> pd.DataFrame | None:
    """The spread of a run of several draws, over the methods that explain all its images; None for other runs."""
    draws = cfg.data.get("draw")
    if not isinstance(draws, ListConfig) or len(set(draws)) < 2:
        return None
    whole = rows[~rows["method"].isin(list(cfg.limits))]
    return spread(whole, list(draws), cfg.data.limit or frozen.SIZE, columns) if len(whole) else None


def spread_markdown(moved: pd.DataFrame) -> str:
    """A spread as a Markdown table, in the columns' own units."""
    values = ["min", "median", "max", "sd"]
    several = [name for name in ("model", "protocol", "layer") if name in moved and len(set(moved[name])) > 1]
    names = [*several, "method", "column"]
    lines = moved.to_dict("records")
    cells = [[*(str(line[name]) for name in names), *(f"{line[value]:.4g}" for value in values)] for line in lines]
    return "Over the draws:\n\n" + grid([[*names, *values], *cells])


def _of_draw(rows: pd.DataFrame, draw: int, n: int) -> pd.DataFrame:
    """The rows of the first ``n`` images of a draw, all of them there for every method and layer."""
    ids = frozen.union(draw, n)
    found = rows[rows["image_id"].isin(set(ids))]
    for (method, layer), part in found.groupby(["method", "layer"], sort=False):
        missing = len(ids) - part["image_id"].nunique()
        if missing:
            raise CamsbenchError(
                f"{method} at {layer} has no row for {missing} of the first {n} images of draw {draw}: run it with "
                f"data.draw={draw} data.limit={n} into the same folder first"
            )
    if found.empty:
        raise CamsbenchError(
            f"the rows hold no image of draw {draw}: run with data=ilsvrc2012 data.draw={draw} data.limit={n} first"
        )
    return found
