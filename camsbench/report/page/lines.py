"""The lines of a report: a method at a layer of a run, under the shortest name that tells it from the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from camsbench.report.saved_run import SavedRun

PARTS = ("model", "protocol", "layer")


@dataclass(frozen=True)
class ReportLine:
    """A line: its run's place among the report's, what its rows have in common, and its name."""

    run: int
    model: str
    protocol: str
    layer: str
    method: str
    label: str
    rows: pd.DataFrame


def report_lines(runs: Sequence[SavedRun]) -> list[ReportLine]:
    """The lines of all runs, in their order.

    A label is the method, with what differs among the lines behind it; where that does not tell two apart, with the
    name of the run's folder.
    """
    found: list[tuple[int, tuple[str, str, str, str], pd.DataFrame]] = []
    for place, run in enumerate(runs):
        order = {name: i for i, name in enumerate(run.config.method)}
        own = []
        for (model, protocol, layer, method), rows in run.rows.groupby([*PARTS, "method"], sort=False):
            own.append((place, (str(model), str(protocol), str(layer), str(method)), rows))
        found += sorted(own, key=lambda line: order.get(line[1][3], len(order)))
    several = [i for i in range(len(PARTS)) if len({key[i] for _, key, _ in found}) > 1]
    labels = [" ".join([key[3], *(key[i] for i in several)]) for _, key, _ in found]
    labels = _tell_apart(labels, [f" ({runs[place].path.name})" for place, _, _ in found])
    labels = _tell_apart(labels, [f" #{place + 1}" for place, _, _ in found])  # folders of one name
    return [
        ReportLine(place, model, protocol, layer, method, label, rows)
        for (place, (model, protocol, layer, method), rows), label in zip(found, labels, strict=True)
    ]


def _tell_apart(labels: Sequence[str], behind: Sequence[str]) -> list[str]:
    """Labels that several lines have, each with what stands behind it."""
    count = Counter(labels)
    return [label + more if count[label] > 1 else label for label, more in zip(labels, behind, strict=True)]
