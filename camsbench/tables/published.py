"""The papers' tables exactly as printed (``camsbench/tables/papers/*.csv``), and what their columns mean."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from camsbench.errors import CamsbenchError

FOLDER = Path(__file__).parent / "papers"

Keys = tuple[str, ...]  # ("VGG-16", "GradCAM"), or ("GradCAM",) where the table has one network


@dataclass(frozen=True)
class PrintedNumber:
    """A number as it is printed: ``16.0`` says more than 16."""

    text: str

    @property
    def value(self) -> float:
        return float(self.text)

    @property
    def decimals(self) -> int:
        return len(self.text.partition(".")[2])

    @property
    def half(self) -> float:
        """Half a unit of the last printed digit: how far rounding may have moved it."""
        return 0.5 * 10**-self.decimals


@dataclass(frozen=True)
class PaperColumn:
    """A published column, and which statistic of which measured column stands beside it.

    ``scale`` turns the statistic into the printed unit: 100 for percent, 1000 for milliseconds, 5500 for the seconds
    that 5500 images take. ``machine``: an absolute time, which only the same machine can repeat.
    """

    name: str
    title: str
    better: str
    scale: float = 1.0
    statistic: str = ""  # a name of camsbench.tables.measure.STATISTICS; empty: as the metric reduces its column
    measured: str = ""  # column of the rows; empty: ``name``
    machine: bool = False

    @property
    def source(self) -> str:
        return self.measured or self.name


@dataclass(frozen=True)
class Published:
    """A printed table: its cells by (keys, column), in the paper's order."""

    name: str
    title: str
    keys: Keys
    columns: tuple[PaperColumn, ...]
    note: str = ""
    reference: str = ""  # the method that ratios divide by
    cells: Mapping[tuple[Keys, str], PrintedNumber] = field(default_factory=dict)

    @property
    def lines(self) -> list[Keys]:
        return list(dict.fromkeys(keys for keys, _ in self.cells))

    @property
    def backbones(self) -> list[str]:
        """The networks, or one empty name where the table has a single one."""
        return list(dict.fromkeys(keys[0] for keys in self.lines)) if len(self.keys) == 2 else [""]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(keys[-1] for keys in self.lines))

    def key(self, backbone: str, method: str) -> Keys:
        return (backbone, method) if len(self.keys) == 2 else (method,)

    def cell(self, keys: Keys, column: str) -> PrintedNumber | None:
        """The printed cell, or None where the paper leaves it empty or has no such line."""
        return self.cells.get((keys, column))

    def decimals(self, column: str) -> int:
        """The most decimals that the paper prints in a column."""
        return max(cell.decimals for (_, name), cell in self.cells.items() if name == column)


_PERCENT = 100.0
_DROP = PaperColumn("drop", "Drop", "lower", _PERCENT)
_INCREASE = PaperColumn("increase", "Inc", "higher", _PERCENT)
_LAYOUTS = (
    Published(
        "reciprocam_table1",
        "ReciproCAM (Byun and Lee 2024), Table 1",
        ("backbone", "method"),
        (
            _DROP,
            _INCREASE,
            PaperColumn("deletion", "Del", "lower", _PERCENT),
            PaperColumn("insertion", "Ins", "higher", _PERCENT),
            PaperColumn("coherency", "Coher", "higher", _PERCENT),
            PaperColumn("complexity", "Compl", "lower", _PERCENT),
            PaperColumn("adcc", "ADCC", "higher", _PERCENT),
        ),
        note="All columns in percent. ADCC is the harmonic mean of the means, as the paper prints it.",
    ),
    Published(
        "reciprocam_table2",
        "ReciproCAM (Byun and Lee 2024), Table 2",
        ("method",),
        (
            PaperColumn("time_ms", "Time (ms)", "lower", 1000.0, measured="time", machine=True),
            PaperColumn("fps", "FPS", "higher", 1.0, "rate", "time", machine=True),
            PaperColumn("ratio", "Ratio", "lower", 1.0, "ratio", "time"),
        ),
        note="Measured: the median time of one image; FPS is one over it; Ratio is to ReciproCAM's on the same images. "
        "The paper: the mean of 1000 images of ResNet-50 on an RTX 3090.",
        reference="ReciproCAM",
    ),
    Published(
        "abscam_table2",
        "Abs-CAM (Zeng et al. 2022), Table 2",
        ("method",),
        (
            _DROP,
            _INCREASE,
            PaperColumn("insertion", "Insertion", "higher"),
            PaperColumn("deletion", "Deletion", "lower"),
        ),
        note="Drop and Inc in percent (the paper: 500 images), Insertion and Deletion as fractions (5500 images).",
    ),
    Published(
        "abscam_table3",
        "Abs-CAM (Zeng et al. 2022), Table 3",
        ("method",),
        (
            PaperColumn("pointing_accuracy", "Accuracy", "higher", measured="pointing"),
            PaperColumn("time_s", "Time (s)", "lower", 5500.0, measured="time", machine=True),
        ),
        note="Accuracy: hits over images (the paper: 300 images). Measured time: 5500 × the median time of one image.",
    ),
)
TABLES = {layout.name: layout for layout in _LAYOUTS}


def load(name: str) -> Published:
    """A published table by its file's name.

    Raises:
        CamsbenchError: no such table.
    """
    if name not in TABLES:
        raise CamsbenchError(f"table.published={name}: it must be one of {', '.join(TABLES)}")
    layout = TABLES[name]
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        cells = {
            (tuple(line[key] for key in layout.keys), column.name): PrintedNumber(line[column.name])
            for line in csv.DictReader(file)
            for column in layout.columns
            if line[column.name]
        }
    return replace(layout, cells=cells)
