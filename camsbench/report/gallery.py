"""One picture of a run: images down, methods across, each map over its image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from camsbench.data import Record, class_name
from camsbench.loader import Picture, read
from camsbench.pending import Task
from camsbench.preprocess import Preprocess
from camsbench.report.saved import MapFolder

COLOURS = "inferno"  # readable without colour vision
OPACITY = 0.6
CELL = 2.1  # inches


def draw(
    path: Path,
    records: Sequence[Record],
    tasks: Sequence[Task],
    rows: pd.DataFrame,
    maps: MapFolder,
    preprocess: Preprocess,
    num_classes: int,
) -> Path:
    """Write the gallery of ``records`` as PNG: image with its boxes, then each method's map with class and probability.

    A method that has no map of an image (its limit was lower, or the image failed) leaves the cell empty.
    """
    figure = Figure(figsize=(CELL * (len(tasks) + 1), CELL * 1.14 * len(records)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(records), len(tasks) + 1, squeeze=False)
    found = {(row["image_id"], row["layer"], row["method"]): row for row in rows.to_dict("records")}
    for line, record in zip(axes, records, strict=True):
        picture = read(record, preprocess)
        _image(line[0], picture, class_name(record.label, num_classes))
        for axis, task in zip(line[1:], tasks, strict=True):
            _overlay(axis, picture, maps.load(task, record), found.get((record.image_id, *task)), num_classes)
    several = len({task.layer for task in tasks}) > 1
    for axis, task in zip(axes[0, 1:], tasks, strict=True):
        title = f"{task.method}\n{task.layer}" if several else task.method
        axis.text(0.5, 1.16, title, transform=axis.transAxes, ha="center", fontsize=9, fontweight="bold")
    figure.savefig(path, dpi=90, bbox_inches="tight")
    return path


def _image(axis, picture: Picture, label: str) -> None:  # type: ignore[no-untyped-def]
    _bare(axis)
    axis.set_title(f"label: {label}", fontsize=8)
    if picture.pixels is None:
        axis.text(0.5, 0.5, "unreadable", ha="center", va="center", transform=axis.transAxes)
        return
    axis.imshow(picture.pixels.permute(1, 2, 0).numpy())
    for xmin, ymin, xmax, ymax in picture.boxes:
        axis.add_patch(Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, fill=False, edgecolor="cyan", linewidth=1))


def _overlay(  # type: ignore[no-untyped-def]
    axis,
    picture: Picture,
    saliency: np.ndarray | None,
    row: Mapping[Hashable, Any] | None,
    num_classes: int,
) -> None:
    _bare(axis)
    if picture.pixels is None or saliency is None or row is None:
        axis.text(0.5, 0.5, "no map", ha="center", va="center", fontsize=8, color="grey", transform=axis.transAxes)
        return
    axis.imshow(picture.pixels.permute(1, 2, 0).numpy())
    axis.imshow(saliency, cmap=COLOURS, alpha=OPACITY, vmin=0, vmax=1)
    axis.set_title(f"{class_name(int(row['target']), num_classes)} {row['probability']:.2f}", fontsize=8)


def _bare(axis) -> None:  # type: ignore[no-untyped-def]
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_frame_on(False)
