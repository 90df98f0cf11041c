"""How large figures are drawn, and files of them for a paper: PNG at print resolution, PDF with text as text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from matplotlib import rc_context
from matplotlib.figure import Figure

from camsbench.files import publish

PAGE = 7.0  # inches of text across a page of two columns
WIDEST = 1.6  # inches of a cell, where there are few
DOTS = 200  # an inch of the PNG
BREAK, STAY = " ", "\u00a0"


@dataclass(frozen=True)
class Size:
    """Inches of a cell, points of what stands above one picture and of what stands above a column."""

    cell: float
    caption: float
    title: float

    def wrapped(self, text: str, points: float, leave: float = 0.0) -> str:
        """The text in lines that fit a cell less ``leave`` inches; a number stays with its percent sign."""
        letters = max(6, int((self.cell - leave) * 72 / (0.56 * points)))  # of DejaVu Sans, on average
        lines = [fill(line.replace(" %", f"{STAY}%"), letters) for line in text.split("\n")]
        return "\n".join(lines).replace(STAY, BREAK)

    def lines(self, count: int) -> float:
        """Points that ``count`` lines of caption take above a picture."""
        return 6 + 1.2 * self.caption * count


SCREEN = Size(2.1, 8, 9)


def print_size(across: int, widest: float = WIDEST) -> Size:
    """The size at which ``across`` cells fit a page's width without being scaled: 6.5 points stay 6.5 points."""
    return Size(min(widest, PAGE / across), 6.5, 7.5)


def save_for_print(figure: Figure, path: Path) -> tuple[Path, Path]:
    """Write a figure as ``path`` (a PNG) and as PDF beside it; the same figure gives the same bytes.

    In the PDF text and curves are vectors, fonts are embedded as TrueType (Type 3 is refused by many journals), and
    pictures have the pixels that they have: who draws the page scales them.
    """
    document = path.with_suffix(".pdf")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(figure, path, {"Software": "camsbench"})
    for axis in figure.axes:
        for image in axis.get_images():
            image.set_interpolation("none")
    with rc_context({"pdf.fonttype": 42}):
        _write(figure, document, {"Creator": "camsbench", "CreationDate": None})
    return path, document


def _write(figure: Figure, path: Path, about: dict[str, str | None]) -> None:
    kind = path.suffix[1:]
    publish(
        path,
        lambda to: figure.savefig(to, format=kind, dpi=DOTS, metadata=about, bbox_inches="tight", pad_inches=0.03),
    )
