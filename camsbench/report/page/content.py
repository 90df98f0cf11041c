"""What a page's script gets: lines, columns and curves as JSON, and all that is one number an image packed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from camsbench.core.columns import Column
from camsbench.data.classes import IMAGENET, Classes
from camsbench.report.page.bands import LineCurves
from camsbench.report.page.columns import PROBABILITY, plain
from camsbench.report.page.packed import Packer
from camsbench.report.page.table import ImageTable

CURVE_VALUES = 1_500_000  # of single images, 3 MB of a page; beyond it only images with maps have theirs


@dataclass(frozen=True)
class Content:
    """The JSON of a page and the packed numbers that it points into."""

    plain: dict[str, Any]
    packed: str


def content(
    table: ImageTable,
    columns: Sequence[Column],
    curves: Sequence[LineCurves],
    shown: Mapping[int, Any],
    title: str,
    classes: Classes | None = None,
) -> Content:
    """Everything that the page draws, sorts and filters.

    Args:
        table: images and lines.
        columns: numbers of an image under a line.
        curves: those of the runs.
        shown: the images that have maps, by place.
        title: the report's.
        classes: what the runs' networks call them (see ``class_names``).
    """
    packer = Packer()
    said = [table.values(i, PROBABILITY) for i, line in enumerate(table.lines) if PROBABILITY.name in line.rows]
    shares = all(np.nanmin(values, initial=0) >= 0 and np.nanmax(values, initial=1) <= 1 for values in said)
    kept = [*columns, replace(PROBABILITY, percent=shares)]  # of a value that is regressed it is that
    lines = []
    targets = [table.targets(i) for i in range(len(table.lines))]
    for i, line in enumerate(table.lines):
        values = {c.name: packer.add(table.values(i, c)) for c in kept if c.name in line.rows}
        lines.append(
            {
                "label": line.label,
                "method": line.method,
                "run": line.run,
                "flags": packer.add(table.flags(i)),
                "targets": packer.add(targets[i]),
                "values": values,
            }
        )
    shared = {
        "title": title,
        "lines": lines,
        "columns": [plain(c) for c in kept],
        "images": len(table.ids),
        "ids": packer.text(table.ids),
        "labels": packer.add(table.labels),
        "disagreement": packer.add(table.disagreement(columns)),
        "classes": class_names(np.concatenate([table.labels, *targets]), classes),
        "errors": table.errors(),
        "curves": _curves(table, curves, set(shown), packer),
    }
    return Content(shared, packer.base64())


def class_names(found: np.ndarray, classes: Classes | None) -> dict[int, str]:
    """The names of the classes that occur, as the runs' networks call them.

    Args:
        found: indices, -1 where there is none.
        classes: of the runs' networks; None where nobody wrote them down: ImageNet's, where no class is beyond it.
    """
    present = np.unique(found[found >= 0])
    if classes is None:
        beyond = len(present) and present[-1] >= IMAGENET
        classes = Classes(int(present[-1]) + 1 if beyond else IMAGENET)
    return {int(i): classes.name(int(i)) for i in present}


def _curves(table: ImageTable, curves: Sequence[LineCurves], shown: set[int], packer: Packer) -> list[dict[str, Any]]:
    places = {name: i for i, name in enumerate(table.ids)}
    total = sum(len(curve.ids) * curve.parts[0].shape[1] for curve in curves)
    made = []
    for curve in curves:
        mean, low, high = curve.band()
        values = curve.values
        images = np.array([places.get(name, -1) for name in curve.ids])
        known = images >= 0
        if total > CURVE_VALUES:
            known &= np.isin(images, list(shown))
        made.append(
            {
                "line": curve.line,
                "name": curve.name,
                "n": len(curve.ids),
                "points": values.shape[1],
                "mean": _short(mean),
                "low": _short(low),
                "high": _short(high),
                "images": packer.add(images[known]),
                "values": packer.add(values[known]),
            }
        )
    return made


def _short(values: np.ndarray) -> list[float | None]:
    return [round(float(v), 5) if np.isfinite(v) else None for v in values]
