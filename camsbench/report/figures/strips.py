"""Sanity checks to look at: the maps of one image while the network's layers are randomised (Abs-CAM, Fig. 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from camsbench.core.explained import Explained, explain
from camsbench.data.loader import Picture, read
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError, check_choices
from camsbench.metrics._similarity import SIMILARITIES, MapFeatures, similarities
from camsbench.metrics.sanity import Randomisation
from camsbench.report.figures.gallery import Panel, blank, overlay
from camsbench.report.figures.printing import print_size
from camsbench.report.saved_run import SavedRun
from camsbench.run.worker import base_forward
from camsbench.store.schema import Task

Below = tuple[str, Panel]  # what stands below a map, and the map
ACROSS = 9  # maps beside each other; the others of a strip follow below


@dataclass(frozen=True)
class Strips:
    """A strip for each image, method and sanity check of the runs: the map, then the map without each layer's weights.

    Below each map stands its similarity with the first. The maps are explained again, with the random weights of the
    run, since a run keeps only the similarities.

    Args:
        images: the first images of each run that are shown.
        similarity: ``spearman``, ``abs_spearman``, ``ssim`` or ``hog``.
    """

    images: int = 1
    similarity: str = "spearman"

    def __post_init__(self) -> None:
        if type(self.images) is not int or self.images < 1:
            raise ValueError(f"images is {self.images}: it must be a whole number from 1 up")
        check_choices(self, similarity=SIMILARITIES)

    def __call__(self, runs: Sequence[SavedRun]) -> Figure:
        strips = [strip for run in runs for strip in self._strips(run)]
        if not strips:
            raise CamsbenchError("figure: its runs have no sanity check; run them with metric=[sanity]")
        lines = [line for strip in strips for line in _fold(*strip)]
        across = max(len(panels) for _, _, panels in lines)
        size = print_size(across, 1.2)
        figure = blank(size.cell * across, (size.cell + 0.32) * len(lines))
        axes = figure.subplots(len(lines), across, squeeze=False)
        for line, (picture, name, panels) in zip(axes, lines, strict=True):
            for axis in line[len(panels) :]:
                axis.set_axis_off()
            for axis, (below, panel) in zip(line, panels, strict=False):
                overlay(axis, picture, panel)
                axis.set_title(size.wrapped(panel.caption, 6), fontsize=6)
                axis.set_xlabel(below, fontsize=6, labelpad=2)
            line[0].set_ylabel(name, fontsize=size.caption)
        return figure

    def _strips(self, run: SavedRun) -> list[tuple[Picture, str, list[Below]]]:
        checks = [metric for metric in run.job.metrics.values() if isinstance(metric, Randomisation)]
        made = []
        for record in run.job.records[: self.images] if checks else []:
            picture = read(record, run.job.split.preprocess)
            for task, column in run.titles.items():
                explained = _explain(run, record, picture, task)
                for check in checks:
                    name = f"{column}\n{check.order}"
                    made.append((picture, name, self._panels(check, explained)))
        return made

    def _panels(self, check: Randomisation, explained: Explained) -> list[Below]:
        original = MapFeatures.of(explained.raw, explained.saliency, explained.degenerate, explained.rule)
        panels = [(f"{self.similarity}:", Panel(_first_saliency(original), "trained"))]
        for layer, raw, saliency, degenerate in check.maps(explained):
            seen = MapFeatures.of(raw, saliency, degenerate, explained.rule)
            rho = similarities(original, seen)[self.similarity].item()
            panels.append(("not defined" if rho != rho else f"{rho:.2f}", Panel(_first_saliency(seen), layer)))
        return panels


def _fold(picture: Picture, name: str, panels: list[Below]) -> list[tuple[Picture, str, list[Below]]]:
    """A strip in lines of at most ``ACROSS`` maps; its name stands at the first."""
    starts = range(0, len(panels), ACROSS)
    return [(picture, "" if start else name, panels[start : start + ACROSS]) for start in starts]


def _explain(run: SavedRun, record: Record, picture: Picture, task: Task) -> Explained:
    """The one image under one method, as the run explains it."""
    if picture.pixels is None:
        raise CamsbenchError(f"figure: {picture.error}; choose other images with data.subset")
    split = next(split for split in run.job.splits if split.layer == task.layer)
    forward = base_forward(run.job, split, picture.pixels[None], [record])
    return explain(split, run.job.methods[task.method], run.job.rule, forward)


def _first_saliency(seen: MapFeatures) -> np.ndarray:
    """The first image's saliency [H,W], which bicubic interpolation may lead out of [0,1]."""
    return seen.saliency[0].clamp(0, 1).numpy()
