"""The papers' figures, drawn from the folders of finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from matplotlib.figure import Figure

from camsbench.classnames import class_name
from camsbench.data import Record
from camsbench.errors import CamsbenchError
from camsbench.loader import read
from camsbench.report.curves import Curves
from camsbench.report.finished import Finished
from camsbench.report.gallery import Line, Panel, figure_of, panel, save
from camsbench.report.strips import Strips


class Kind(Protocol):
    """A kind of figure: its options as a frozen dataclass, and how it is drawn of some runs."""

    def __call__(self, runs: Sequence[Finished]) -> Figure: ...


@dataclass(frozen=True)
class Gallery:
    """Maps of one or several runs, a line for each image, network and class that was explained.

    Runs of the same network and class share a line; an image that two runs explain for the same class, such as
    ``target=predicted`` and ``target=label`` of one that is predicted rightly, has it once.

    Args:
        mistakes: of the images of a label, show only the first that is predicted as the given class; where none is,
            the first that is predicted wrongly, or else the first. All images of labels that are not named are shown.
    """

    mistakes: Mapping[int, int] = field(default_factory=dict)

    def __call__(self, runs: Sequence[Finished]) -> Figure:
        columns = list(dict.fromkeys(column for run in runs for column in run.columns.values()))
        several = len({run.job.split.name for run in runs}) > 1
        lines = [line for record in self._chosen(runs) for line in self._lines(record, runs, columns, several)]
        if not lines:
            raise CamsbenchError("figure: none of its runs kept a map; run them with gallery=N, the images to keep")
        return figure_of(columns, lines)

    def _chosen(self, runs: Sequence[Finished]) -> list[Record]:
        records = {record.image_id: record for run in runs for record in run.job.records}
        predicted = {image_id: label for run in runs for image_id, label in run.predicted.items()}

        def rank(record: Record) -> tuple[bool, bool]:
            got = predicted.get(record.image_id, record.label)
            return got != self.mistakes[record.label], got == record.label

        best: dict[int, Record] = {}
        for record in records.values():
            if record.label in self.mistakes and (record.label not in best or rank(record) < rank(best[record.label])):
                best[record.label] = record
        return [r for r in records.values() if best.get(r.label, r) is r]

    def _lines(self, record: Record, runs: Sequence[Finished], columns: Sequence[str], several: bool) -> list[Line]:
        found: dict[tuple[str, int], dict[str, Panel]] = {}
        first: dict[tuple[str, int], Finished] = {}
        for run in runs:
            for task, column in run.columns.items():
                row = run.rows.get((record.image_id, *task))
                saliency = run.maps.load(task, record)
                if row is not None and saliency is not None:
                    key = (run.job.split.name, int(row["target"]))
                    first.setdefault(key, run)
                    shown = panel(saliency, row, run.job.split.num_classes)
                    found.setdefault(key, {}).setdefault(column, shown)
        lines = []
        for key, panels in found.items():
            split = first[key].job.split
            caption = f"label: {class_name(record.label, split.num_classes)}" + (f"\n{key[0]}" if several else "")
            picture = read(record, split.preprocess)
            lines.append(Line(picture, caption, [panels.get(column, Panel(None)) for column in columns]))
        return lines


KINDS: Mapping[str, type[Kind]] = {"gallery": Gallery, "curves": Curves, "strips": Strips}


def kind_of(figure: Mapping[str, Any]) -> Kind:
    """The kind of figure that an experiment's ``figure`` describes: ``kind`` and its options.

    Raises:
        CamsbenchError: no such kind or option.
    """
    options = {str(key): value for key, value in figure.items()}
    kind = options.pop("kind", None)
    if kind not in KINDS:
        raise CamsbenchError(f"figure.kind={kind}: choose {', '.join(KINDS)}")
    try:
        return KINDS[kind](**options)
    except (TypeError, ValueError) as error:
        raise CamsbenchError(f"figure ({kind}): {error}") from error


def draw(figure: Mapping[str, Any], path: Path, folders: Sequence[Path]) -> Path:
    """Write an experiment's figure as PNG, from the folders of its runs, in the order of its lines.

    Raises:
        CamsbenchError: no such kind or option; a folder is no run, or lacks what the figure shows.
    """
    kind = kind_of(figure)
    return save(kind([Finished.of(folder) for folder in folders]), path)
