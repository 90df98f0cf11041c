"""Planted evidence: what the pictures of ``data=planted`` and the networks of ``model=planted`` have in common.

A picture is grey noise of any brightness with tiles of colour on a grid of 7×7 cells. A network detects six colours,
none of which grey has, and a linear head counts them. So it is known which pixels make a class's logit, and how much of
it each. (Rao et al. 2022, "Towards better understanding attribution methods", construct such heads on trained
networks.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from camsbench.errors import CamsbenchError

GRID = 7  # cells along a side
EVIDENCE = ("red", "green", "blue")  # of the classes, in their order
PARTNERS = ("cyan", "magenta", "yellow")  # no evidence, but for the task shares
COLOURS = (*EVIDENCE, *PARTNERS)
CLASSES = (*EVIDENCE, "none")
MIDDLE, REACH = 128, 96  # of 8 bits: a full colour has channels of 224 and 32, a faint one less apart
MEAN = STD = 0.5  # of the networks' preprocessing
SCORE = 5.0  # logit that all of a class's evidence gives; without any it is 0
OBJECT = 3  # cells along a side of an object that is no evidence
TINT = 0.25  # of a background that is evidence, of a full colour


@dataclass(frozen=True)
class Task:
    """What decides, and what is beside it.

    Args:
        name: as ``data.task``.
        tile: cells along a side of one piece of evidence; 0: the background is the evidence.
        own: the weight of a class's own colour.
        partner: that of its partner, the colour opposite to it.
        against: that of its own colour outside its half of the picture.
    """

    name: str
    tile: int
    own: float = 1.0
    partner: float = 0.0
    against: float | None = None

    @property
    def knows_places(self) -> bool:
        """Whether a cell's weight depends on where it is, so that no pooled head can do it."""
        return self.against is not None

    def amount(self, side: int, whole: bool) -> float:
        """What all of the evidence for a class answers, in cells of full colour.

        Args:
            side: of the picture, in pixels.
            whole: a cell counts wholly however little of it is coloured (max pools), or by its share (average pools).
        """
        cell, gap = cell_of(side), gap_of(side)
        if self.tile:
            pixels = (self.tile * cell - gap) ** 2
            return self.tile**2 if whole else pixels / cell**2
        pixels = side**2 - (OBJECT * cell + gap) ** 2
        return TINT * (GRID**2 - OBJECT**2 if whole else pixels / cell**2)

    def head(self) -> Tensor:
        """Weights [4,6,7,7] of each class, colour and cell: relative ones, and alike in all cells but of ``cells``."""
        weights = torch.zeros(len(CLASSES), len(COLOURS), GRID, GRID)
        for label in range(len(EVIDENCE)):
            weights[label, label] = self.own
            weights[label, label + len(EVIDENCE)] = self.partner
            if self.against is not None:
                weights[label, label] = torch.where(half(label), self.own, self.against)
        return weights


TASKS = {
    task.name: task
    for task in (
        Task("cells", tile=2, against=-0.5),
        Task("patch", tile=1),
        Task("two_objects", tile=2),
        Task("shares", tile=2, own=0.7, partner=0.3),
        Task("distractor", tile=2),
        Task("background", tile=0),
    )
}


def task_of(name: object) -> Task:
    """The task of a name.

    Raises:
        CamsbenchError: there is none.
    """
    if name not in TASKS:
        raise CamsbenchError(f"data.task={name}: choose {', '.join(TASKS)}")
    return TASKS[str(name)]


def half(label: int) -> Tensor:
    """The cells, bool [7,7], in which a class's colour speaks for it under ``cells``: left, right and upper ones."""
    row, column = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    return (column < GRID // 2, column > GRID // 2, row < GRID // 2)[label]


def cell_of(side: int) -> int:
    """The side of a cell, in pixels."""
    return side // GRID


def gap_of(side: int) -> int:
    """Grey pixels around a tile: two in cells of 32 pixels, so that ResNet's overlapping max pool joins no cells."""
    return 2 if cell_of(side) >= 32 else 0
