"""The papers' figures, drawn from the folders of finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from camsbench.data.classes import Classes
from camsbench.data.loader import Picture, read
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.report.figures.curves import Curves
from camsbench.report.figures.gallery import GalleryLine, Panel, figure_of, panel
from camsbench.report.figures.printing import print_size, save_for_print
from camsbench.report.figures.strips import Strips
from camsbench.report.saved_run import SavedRun


class Kind(Protocol):
    """A kind of figure: its options as a frozen dataclass, and how it is drawn of some runs."""

    def __call__(self, runs: Sequence[SavedRun]) -> Figure: ...


@dataclass(frozen=True)
class Gallery:
    """Maps of one or several runs, a line for each image, network and class that was explained.

    Runs of the same network and class share a line; an image that two runs explain for the same class, such as
    ``target=predicted`` and ``target=label`` of one that is predicted rightly, has it once.

    Args:
        mistakes: of the images of a label, show only the first that is predicted as the given class; where none is,
            the first that is predicted wrongly, or else the first. All images of labels that are not named are shown.
        beside: the maps of an image's several classes stand beside each other and not in a line each.
    """

    mistakes: Mapping[int, int] = field(default_factory=dict)
    beside: bool = False

    def __call__(self, runs: Sequence[SavedRun]) -> Figure:
        columns = list(dict.fromkeys(column for run in runs for column in run.titles.values()))
        several = len({run.job.split.name for run in runs}) > 1
        groups = [group for record in self._chosen(runs) for group in self._groups(record, runs, several)]
        if not groups:
            raise CamsbenchError("figure: none of its runs kept a map; run them with gallery=N, the images to keep")
        if not self.beside:
            groups = [replace(group, classes=[one]) for group in groups for one in group.classes]
        most = max(len(group.classes) for group in groups)
        lines = [group.line(columns, most) for group in groups]
        return figure_of(columns * most, lines, print_size(len(columns) * most + 1))

    def _chosen(self, runs: Sequence[SavedRun]) -> list[Record]:
        records = {record.image_id: record for run in runs for record in run.job.records}
        predicted = {image_id: label for run in runs for image_id, label in run.predicted.items()}

        def rank(record: Record, label: int) -> tuple[bool, bool]:
            got = predicted.get(record.image_id, label)
            return got != self.mistakes[label], got == label

        best: dict[int, Record] = {}
        for record in records.values():
            label = record.label
            if label is None or label not in self.mistakes:
                continue
            if label not in best or rank(record, label) < rank(best[label], label):
                best[label] = record
        return [r for r in records.values() if r.label is None or best.get(r.label, r) is r]

    def _groups(self, record: Record, runs: Sequence[SavedRun], several: bool) -> list[Group]:
        found: dict[str, dict[int, dict[str, Panel]]] = {}
        first: dict[str, SavedRun] = {}
        for run in runs:
            name = run.job.split.name
            for task, column in run.titles.items():
                row = run.good_rows.get((record.image_id, *task))
                saliency = run.maps.load(task, record)
                if row is not None and saliency is not None:
                    first.setdefault(name, run)
                    shown = panel(saliency, row, Classes.of(run.job.split))
                    found.setdefault(name, {}).setdefault(int(row["target"]), {}).setdefault(column, shown)
        groups = []
        for name, classes in found.items():
            split = first[name].job.split
            caption = f"label: {Classes.of(split).name(record.label)}"
            caption += f"\n{first[name].names.get(name, name)}" if several else ""
            groups.append(Group(read(record, split.preprocess), caption, list(classes.values())))
        return groups


@dataclass(frozen=True)
class Group:
    """An image as a network sees it, and for each class that was explained the panels by column."""

    picture: Picture
    caption: str
    classes: list[dict[str, Panel]]

    def line(self, columns: Sequence[str], most: int) -> GalleryLine:
        """All in one line, with room for ``most`` classes; what is not there stays empty."""
        empty: list[dict[str, Panel]] = [{}] * (most - len(self.classes))
        panels = [panels.get(column, Panel(None)) for panels in [*self.classes, *empty] for column in columns]
        return GalleryLine(self.picture, self.caption, panels)


KINDS: Mapping[str, type[Kind]] = {"gallery": Gallery, "curves": Curves, "strips": Strips}


def kind_of(figure: Mapping[str, Any]) -> Kind:
    """The kind of figure that an experiment's ``figure`` describes: ``kind`` and its options.

    Raises:
        CamsbenchError: no such kind or option.
    """
    options = {str(key): value for key, value in figure.items() if key != "names"}
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise CamsbenchError(f"figure.kind={kind}: choose {', '.join(KINDS)}")
    try:
        return KINDS[kind](**options)
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"figure ({kind}): {error}") from error


def draw(figure: Mapping[str, Any], path: Path, folders: Sequence[Path]) -> Path:
    """Write an experiment's figure as PNG, and as PDF beside it, from the folders of its runs, in order.

    Args:
        figure: ``kind`` and its options; ``names``: how methods and networks are called, where not by their own name.
        path: the PNG.
        folders: of the runs.

    Raises:
        CamsbenchError: no such kind or option; a folder is no run, or lacks what the figure shows.
    """
    kind = kind_of(figure)
    names = {str(key): str(name) for key, name in (figure.get("names") or {}).items()}
    return save_for_print(kind([SavedRun.load(folder, names=names) for folder in folders]), path)[0]
