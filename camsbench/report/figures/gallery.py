"""Pictures of maps: a line an image (and class), a column a method, each map over its image."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from camsbench.core.preprocess import Preprocess
from camsbench.data.classes import Classes
from camsbench.data.loader import Picture, read
from camsbench.data.record import Record
from camsbench.report.figures.printing import SCREEN, Size
from camsbench.store.maps import MapFolder
from camsbench.store.schema import Task

COLOURS = "inferno"  # readable without colour vision
OPACITY = 0.6


@dataclass(frozen=True)
class Panel:
    """A saliency [H,W] in [0,1], or None where there is none, and what stands above it."""

    saliency: np.ndarray | None
    caption: str = ""


@dataclass(frozen=True)
class GalleryLine:
    """An image with its caption and the maps of it."""

    picture: Picture
    caption: str
    panels: Sequence[Panel]


def draw(
    path: Path,
    records: Sequence[Record],
    tasks: Sequence[Task],
    rows: pd.DataFrame,
    maps: MapFolder,
    preprocess: Preprocess,
    classes: Classes,
) -> Path:
    """Write the gallery of ``records`` as PNG: image with its boxes, then each method's map with class and probability.

    A method that has no map of an image (its limit was lower, or the image failed) leaves the cell empty.
    """
    found = {(row["image_id"], row["layer"], row["method"]): row for row in rows.to_dict("records")}
    lines = []
    for record in records:
        panels = [panel(maps.load(t, record), found.get((record.image_id, *t)), classes) for t in tasks]
        lines.append(GalleryLine(read(record, preprocess), f"label: {classes.name(record.label)}", panels))
    several = len({task.layer for task in tasks}) > 1
    return save(figure_of([f"{t.method}\n{t.layer}" if several else t.method for t in tasks], lines), path)


def panel(saliency: np.ndarray | None, row: Mapping[Hashable, Any] | None, classes: Classes) -> Panel:
    """A saliency with the class and the probability of its row; empty where one of them is missing."""
    if row is None or pd.notna(row["error"]):
        return Panel(None)
    return Panel(saliency, classes.caption(int(row["target"]), row["probability"]))


def figure_of(titles: Sequence[str], lines: Sequence[GalleryLine], size: Size = SCREEN) -> Figure:
    """Lines below each other, with ``titles`` above their panels."""
    above = [[size.wrapped(text, size.caption) for text in _captions(line)] for line in lines]
    tall = [max(text.count("\n") + 1 for text in texts) for texts in above]
    headings = [size.wrapped(title, size.title * 1.3) for title in titles]  # bold is wider
    top = size.title * (0.5 + 1.2 * max(text.count("\n") + 1 for text in headings))
    height = sum(size.cell * 72 + size.lines(count) for count in tall) + top
    figure = blank(size.cell * (len(titles) + 1), height / 72)
    axes = figure.subplots(len(lines), len(titles) + 1, squeeze=False)
    for row, line, texts in zip(axes, lines, above, strict=True):
        _image(row[0], line.picture)
        for axis, shown in zip(row[1:], line.panels, strict=True):
            overlay(axis, line.picture, shown)
        for axis, text in zip(row, texts, strict=True):
            axis.set_title(text, fontsize=size.caption)
    above_first = size.lines(max(text.count("\n") + 1 for text in above[0][1:])) + size.title / 2
    for axis, text in zip(axes[0, 1:], headings, strict=True):
        axis.annotate(
            text, (0.5, 1), (0, above_first), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="bottom", fontsize=size.title, fontweight="bold",
        )  # fmt: skip
    return figure


def _captions(line: GalleryLine) -> list[str]:
    """What stands above the image and above each of its maps."""
    return [line.caption, *("" if shown.saliency is None else shown.caption for shown in line.panels)]


def blank(width: float, height: float) -> Figure:
    """A figure of this size in inches, with no part in pyplot's list of figures."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90, bbox_inches="tight")
    return path


def overlay(axis: Axes, picture: Picture, shown: Panel) -> None:
    """A map over its image, as one opaque picture, or the words that there is none."""
    bare(axis)
    if picture.pixels is None or shown.saliency is None:
        _words(axis, "no map")
        return
    colours = colormaps[COLOURS](shown.saliency)[..., :3]
    photo = picture.in_colour() / 255
    axis.imshow((1 - OPACITY) * photo + OPACITY * colours, label="map")


def bare(axis: Axes) -> None:
    """Take ticks and frame off."""
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_frame_on(False)


def _image(axis: Axes, picture: Picture) -> None:
    bare(axis)
    if picture.pixels is None:
        _words(axis, "unreadable")
        return
    axis.imshow(picture.in_colour(), label="image")
    for xmin, ymin, xmax, ymax in picture.boxes:
        axis.add_patch(Rectangle((xmin, ymin), xmax - xmin, ymax - ymin, fill=False, edgecolor="cyan", linewidth=1))


def _words(axis: Axes, words: str) -> None:
    """Words in the place of a picture, which is as square as one."""
    axis.set_box_aspect(1)
    axis.text(0.5, 0.5, words, ha="center", va="center", fontsize=8, color="grey", transform=axis.transAxes)
