"""Deletion and insertion of single images: the map beside the curves that it gives (Abs-CAM, Fig. 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from camsbench.data.classes import Classes
from camsbench.data.loader import read
from camsbench.errors import CamsbenchError
from camsbench.report.figures.gallery import blank, overlay, panel
from camsbench.report.figures.printing import Size, print_size
from camsbench.report.saved_run import SavedRun

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7")  # Okabe and Ito's: told apart without colour vision
WIDE = 2.0  # inches of a curve, where there is room


@dataclass(frozen=True)
class Curves:
    """A line for each image and method: image and map, then a curve with its area for each name in ``curves``.

    Args:
        images: the first images of each run that are shown.
        curves: curves of the run's metrics, each named as its column with ``_curve`` behind.
    """

    images: int = 1
    curves: Sequence[str] = ("deletion_curve", "insertion_curve")

    def __post_init__(self) -> None:
        if type(self.images) is not int or self.images < 1:
            raise ValueError(f"images is {self.images}: it must be a whole number from 1 up")

    def __call__(self, runs: Sequence[SavedRun]) -> Figure:
        shown = [
            (run, record, task) for run in runs for record in run.job.records[: self.images] for task in run.titles
        ]
        across = 1 + len(self.curves)
        size = print_size(across, WIDE)
        figure = blank(size.cell * across, size.cell * 0.82 * len(shown))
        axes = figure.subplots(len(shown), across, squeeze=False)
        values = {id(run): _values(run) for run in runs}
        for line, (run, record, task) in zip(axes, shown, strict=True):
            split = run.job.split
            row = run.good_rows.get((record.image_id, *task))
            over = panel(run.maps.load(task, record), row, Classes.of(split))
            overlay(line[0], read(record, split.preprocess), over)
            line[0].set_title(size.wrapped(over.caption, size.caption), fontsize=size.caption)
            name = f"{run.titles[task]}\n{Classes.of(split).name(record.label)}"
            line[0].set_ylabel(name, fontsize=size.caption)
            for place, (axis, curve) in enumerate(zip(line[1:], self.curves, strict=True)):
                y = values[id(run)].get((record.image_id, *task, curve))
                if y is None or row is None:
                    raise CamsbenchError(
                        f"figure.curves: {run.path} has no {curve} of image {record.image_id} under {task.method}; run "
                        f"it with the metric that gives it, such as metric=[deletion,insertion]"
                    )
                column = curve.removesuffix("_curve")
                _plot(axis, y, f"{column}, area {float(row[column]):.4f}", COLOURS[place % len(COLOURS)], size)
                if place == 0 and column in ("deletion", "insertion"):
                    axis.set_ylabel("probability", fontsize=size.caption)
        for axis in axes[-1, 1:]:
            axis.set_xlabel("share of the steps", fontsize=size.caption)
        return figure


def _values(run: SavedRun) -> dict[tuple[str, str, str, str], np.ndarray]:
    kept = run.folder.curves().to_dict("records")
    return {(c["image_id"], c["layer"], c["method"], c["curve"]): np.asarray(c["y"]) for c in kept}


def _plot(axis: Axes, y: np.ndarray, title: str, colour: str, size: Size) -> None:
    x = np.linspace(0, 1, len(y))
    axis.fill_between(x, y, color=[0.3 * c + 0.7 for c in to_rgb(colour)], linewidth=0)  # opaque: PDF/A allows no other
    axis.plot(x, y, color=colour, linewidth=1.2)
    axis.set_title(title, fontsize=size.caption)
    axis.set_xlim(0, 1)
    axis.set_ylim(min(0.0, float(np.nanmin(y))), max(1.0, float(np.nanmax(y))))
    axis.tick_params(labelsize=size.caption - 0.5)
