"""Scenes of coloured tiles on grey noise: where each tile lies, what it counts for, and how it is painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from camsbench.core.planted import EVIDENCE, GRID, MIDDLE, REACH, TINT, cell_of, gap_of

HIGH = {  # which of red, green and blue are high in a colour; the others are low
    "red": (1, -1, -1), "green": (-1, 1, -1), "blue": (-1, -1, 1),
    "cyan": (-1, 1, 1), "magenta": (1, -1, 1), "yellow": (1, 1, -1),
}  # fmt: skip


@dataclass(frozen=True)
class Tile:
    """A square of colour.

    Args:
        row, column: of its upper left cell.
        size: its side, in cells.
        colour: its name.
        share: of the explained class's evidence; 0 where it is not used, below 0 where it speaks against the class.
        strength: of full colour.
    """

    row: int
    column: int
    size: int
    colour: str
    share: float = 0.0
    strength: float = 1.0

    @property
    def mirrored(self) -> Tile:
        """Where it would be in the picture turned left to right."""
        return replace(self, column=GRID - self.column - self.size)

    def clear_of(self, other: Tile, cells: int = 0) -> bool:
        """Whether at least so many cells lie between the two."""
        down = max(self.row - other.row - other.size, other.row - self.row - self.size)
        across = max(self.column - other.column - other.size, other.column - self.column - self.size)
        return max(down, across) >= cells

    def box(self, side: int) -> tuple[int, int, int, int]:
        """Its pixels in a picture of ``side``: xmin, ymin, xmax, ymax."""
        cell = cell_of(side)
        x, y, length = self.column * cell, self.row * cell, self.size * cell - gap_of(side)
        return x, y, x + length, y + length


@dataclass(frozen=True)
class Scene:
    """What a picture shows; later tiles lie on earlier ones.

    Args:
        label: the class that its evidence is for.
        tiles: its tiles.
        distractor: where somebody would point who does not know what the network uses, with shares of its own.
        tinted: whether the background has the colour of the class, and is its evidence.
    """

    label: int
    tiles: tuple[Tile, ...]
    distractor: tuple[Tile, ...]
    tinted: bool = False

    def truth(self, side: int) -> np.ndarray:
        """The share of each pixel in the evidence for the class, float [side,side]; they sum to 1."""
        if not self.tinted:
            return shares([tile for tile in self.tiles if tile.share > 0], side)
        share = np.ones((side, side))
        for tile in self.tiles:
            share[territory(tile, side)] = 0
        return share / share.sum()

    def paint(self, texture: np.ndarray) -> np.ndarray:
        """The picture, uint8 [side,side,3], on greys [side,side] from ``REACH``·``TINT`` to 255 less that."""
        side = len(texture)
        grey = np.repeat(texture[:, :, None], 3, 2)
        picture = grey + _channels(EVIDENCE[self.label], TINT) if self.tinted else grey.copy()
        for tile in self.tiles:
            picture[territory(tile, side)] = grey[territory(tile, side)]
            picture[inside(tile, side)] = MIDDLE + _channels(tile.colour, tile.strength)
        return picture.astype(np.uint8)


def shares(tiles: Sequence[Tile], side: int) -> np.ndarray:
    """Tiles' shares spread over their pixels, float [side,side], scaled to sum to 1."""
    found = np.zeros((side, side))
    for tile in tiles:
        place = inside(tile, side)
        found[place] = tile.share / found[place].size
    return found / found.sum()


def inside(tile: Tile, side: int) -> tuple[slice, slice]:
    """The pixels of a tile's colour."""
    x0, y0, x1, y1 = tile.box(side)
    return slice(y0, y1), slice(x0, x1)


def territory(tile: Tile, side: int) -> tuple[slice, slice]:
    """The pixels of a tile and of the grey gap around it."""
    x0, y0, x1, y1 = tile.box(side)
    gap = gap_of(side)
    return slice(max(y0 - gap, 0), y1 + gap), slice(max(x0 - gap, 0), x1 + gap)


def _channels(colour: str, strength: float) -> np.ndarray:
    return np.array(HIGH[colour]) * round(REACH * strength)
