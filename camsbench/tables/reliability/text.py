"""The page of metrics as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from camsbench.tables.bootstrap import Interval
from camsbench.tables.columns import text_of
from camsbench.tables.grid import grid
from camsbench.tables.reliability.choices import Moved
from camsbench.tables.reliability.meanings import MEANINGS
from camsbench.tables.reliability.metric import IMAGES, Reliability
from camsbench.tables.reliability.ranking import Ranking
from camsbench.tables.render import NONE

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def markdown(found: Sequence[Reliability], name: str = "") -> str:
    """The tables of one run.

    Args:
        found: its metrics.
        name: what it is called, where there are several.
    """
    behind = f" of {name}" if name else ""
    metrics, rankings = grid(metric_cells(found), left=_left(found) + 1), grid(ranking_cells(found), _left(found) + 2)
    said = "".join(f"\n{sentence}\n" for sentence in left_out(found))
    return f"## Metrics{behind}\n\n{metrics}\n{said}\n## Rankings{behind}\n\n{rankings}\n"


def left_out(found: Sequence[Reliability]) -> list[str]:
    """A sentence on the methods that are not ranked, and one on the images that do not count."""
    fewer = dict.fromkeys(method for one in found for method in one.scores.fewer)
    images = {one.scores.label: one.scores.left_out for one in found if one.scores.left_out}
    said = []
    if fewer:
        said.append(f"Not ranked, as they explained fewer images than the others: {', '.join(fewer)}.")
    if images:
        counted = ", ".join(f"{label} {n:,}" for label, n in images.items())
        said.append(f"Images left out, as not all methods have a value of them: {counted}.")
    return said


def explained(moves: Sequence[Moved]) -> str:
    """What a choice between settings moves, where there are several, and what each number of the page says."""
    table = f"## What moves the order of the methods\n\n{grid(choice_cells(moves), left=2)}\n\n" if moves else ""
    said = "\n".join(f"- **{name}**: {MEANINGS[name]}" for name in MEANINGS if name != "moves" or moves)
    return f"{table}{said}\n"


def metric_cells(found: Sequence[Reliability]) -> list[list[str]]:
    """A line a metric, the head first."""
    controls = list(dict.fromkeys(control for one in found for control in one.controls))
    head = ["metric", "images", "α", *(f"G({n})" for n in IMAGES), "ties", "τ with others", "best", "P(best)"]
    made = [[*_setting_head(found), *head, *(f"beats {control}" for control in controls)]]
    for one in found:
        numbers = [
            f"{len(one.scores.images):,}",
            bounded(one.alpha),
            *(bounded(one.generalisability[n]) for n in IMAGES),
            f"{100 * one.scores.ties:.1f} %",
            bounded(one.agreement),
            one.ranking.methods[0],
            f"{100 * one.ranking.best[0]:.0f} %",
        ]
        beats = [one.controls.get(control) for control in controls]
        shares = [NONE if beat is None else bounded(beat, 100, 0) + " %" for beat in beats]
        made.append([*_setting(found, one), one.scores.label, *numbers, *shares])
    return made


def ranking_cells(found: Sequence[Reliability]) -> list[list[str]]:
    """A line a metric and method, best first, the head first."""
    head = ["metric", "method", "mean", "P(best)", "ranks", "mean rank", "not told apart", "Friedman's p"]
    made = [[*_setting_head(found), *head]]
    for one in found:
        ranking, column = one.ranking, one.scores.column
        letters = letters_of(ranking)
        for i, method in enumerate(ranking.methods):
            numbers = [
                text_of(column, float(ranking.means[i])),
                f"{100 * ranking.best[i]:.0f} %",
                f"{ranking.low[i]:.0f} to {ranking.high[i]:.0f}",
                f"{ranking.mean_ranks[i]:.2f}",
                letters[method],
                _p(ranking.p),
            ]
            made.append([*_setting(found, one), one.scores.label, method, *numbers])
    return made


def best_markdown(found: Sequence[Reliability]) -> str:
    """A line a metric: its best method, and those that may be it as well."""
    made = [[*_setting_head(found), "metric", "best", "P(best)", "may be the best as well", "Friedman's p"]]
    for one in found:
        ranking = one.ranking
        also = [method for method, low in zip(ranking.methods[1:], ranking.low[1:], strict=True) if low == 1]
        numbers = [ranking.methods[0], f"{100 * ranking.best[0]:.0f} %", ", ".join(also) or NONE, _p(ranking.p)]
        made.append([*_setting(found, one), one.scores.label, *numbers])
    said = f"{MEANINGS['P(best)']} A method may be the best where no other is surely better. All ranks: ranking.csv."
    return "\n\n".join([grid(made, left=_left(found) + 2), " ".join([said, *left_out(found)])])


def ranking_table(found: Sequence[Reliability]) -> pd.DataFrame:
    """A line a metric and method, best first, as numbers."""
    return pd.DataFrame(
        [
            {
                **one.scores.setting._asdict(),
                "column": one.scores.column.name,
                "method": method,
                "mean": one.ranking.means[i],
                "p_best": one.ranking.best[i],
                "rank_low": int(one.ranking.low[i]),
                "rank_high": int(one.ranking.high[i]),
                "mean_rank": one.ranking.mean_ranks[i],
                "images": len(one.scores.images),
                "friedman_p": one.ranking.p,
                "critical_difference": one.ranking.critical,
            }
            for one in found
            for i, method in enumerate(one.ranking.methods)
        ]
    )


def choice_cells(moves: Sequence[Moved]) -> list[list[str]]:
    """A line a metric and choice, the head first."""
    made = [["metric", "choice", "pairs of settings", "mean τ", "lowest τ", "between", "reversed"]]
    for one in moves:
        ends = " and ".join(one.between)
        share = f"{100 * one.reversed:.1f} %"
        made.append([one.column, one.choice, str(one.pairs), f"{one.mean:.2f}", f"{one.lowest:.2f}", ends, share])
    return made


def letters_of(ranking: Ranking) -> dict[str, str]:
    """The letters of the groups of methods that cannot be told apart; a method alone in its place has one of its own.

    All methods share one where Friedman's test finds no difference.
    """
    if not ranking.p < 0.05:
        return dict.fromkeys(ranking.methods, "" if math.isnan(ranking.p) else LETTERS[0])
    groups = [*ranking.alike, *((m,) for m in ranking.methods if not any(m in group for group in ranking.alike))]
    groups.sort(key=lambda group: min(ranking.mean_ranks[ranking.methods.index(m)] for m in group))
    named = list(zip(groups, LETTERS, strict=False))
    return {method: "".join(letter for group, letter in named if method in group) for method in ranking.methods}


def bounded(interval: Interval, factor: float = 1, decimals: int = 2) -> str:
    """A number with its interval."""
    if math.isnan(interval.value):
        return NONE
    value, low, high = (f"{factor * v:.{decimals}f}" for v in (interval.value, interval.low, interval.high))
    return value if math.isnan(interval.low) else f"{value} [{low}, {high}]"


def _p(p: float) -> str:
    return NONE if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def _setting_head(found: Sequence[Reliability]) -> list[str]:
    return [
        name for name in ("model", "protocol", "layer") if len({getattr(f.scores.setting, name) for f in found}) > 1
    ]


def _setting(found: Sequence[Reliability], one: Reliability) -> list[str]:
    return [str(getattr(one.scores.setting, name)) for name in _setting_head(found)]


def _left(found: Sequence[Reliability]) -> int:
    return len(_setting_head(found))
