"""The section on the metrics themselves: which can be trusted, and how sure each ranking is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from camsbench.report.page.lines import ReportLine
from camsbench.report.trust import Trust
from camsbench.tables.reliability.meanings import MEANINGS
from camsbench.tables.reliability.metric import Reliability
from camsbench.tables.reliability.text import choice_cells, left_out, metric_cells, ranking_cells

METRIC, RANKING, CHOICE = 1, 2, 2  # names at the left of each table, beside the setting's


def tables(trust: Trust | None) -> list[dict[str, Any]]:
    """Each table with its caption, its cells (the head first) and how many of them are names; none where nothing is
    ordered."""
    if trust is None:
        return []
    made = []
    for run, found in trust.runs:
        of = f" of {run.path.name}" if len(trust.runs) > 1 else ""
        cells, ranks = metric_cells(found), ranking_cells(found)
        settings = ranks[0].index("metric")
        made.append(
            {
                "title": f"Metrics{of}",
                "cells": cells,
                "left": METRIC + settings,
                "open": True,
                "note": " ".join(left_out(found)),
            }
        )
        made.append({"title": f"Rankings{of}", "cells": ranks, "left": RANKING + settings, "open": False, "note": ""})
    if trust.moves:
        title = "What moves the order of the methods"
        made.append({"title": title, "cells": choice_cells(trust.moves), "left": CHOICE, "open": True, "note": ""})
    return made


def meanings(trust: Trust | None) -> list[tuple[str, str]]:
    """What each number says."""
    return [(name, said) for name, said in MEANINGS.items() if trust and (name != "moves" or trust.moves)]


def rankings(trust: Trust | None, lines: Sequence[ReportLine]) -> list[dict[str, Any]]:
    """What the chart of mean ranks draws, for each metric that has a critical difference."""
    places = {(line.run, line.model, line.protocol, line.layer, line.method): i for i, line in enumerate(lines)}
    return [
        _ranking(one, {method: places[number, *one.scores.setting, method] for method in one.ranking.methods})
        for number, (_, found) in enumerate(trust.runs if trust else [])
        for one in found
        if one.ranking.critical == one.ranking.critical  # a number
    ]


def _ranking(one: Reliability, lines: dict[str, int]) -> dict[str, Any]:
    ranking = one.ranking
    by_method = np.stack([ranking.mean_ranks, ranking.best, ranking.low, ranking.high], 1)
    return {
        "title": one.scores.label,
        "column": one.scores.column.name,
        "where": ", ".join(one.scores.setting),
        "images": len(one.scores.images),
        "p": ranking.p,
        "critical": ranking.critical,
        "methods": [
            {"line": lines[method], "rank": numbers[0], "best": numbers[1], "low": numbers[2], "high": numbers[3]}
            for method, numbers in zip(ranking.methods, by_method.tolist(), strict=True)
        ],
    }
