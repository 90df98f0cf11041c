"""Scenes of each task of ``data=planted``, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from camsbench.core.planted import EVIDENCE, GRID, OBJECT, PARTNERS, Task, half
from camsbench.data.scenes import Scene, Tile

FAINT = 0.5  # strength of an object that is evidence for another class: the explained class stays on top

Random = np.random.RandomState  # whose stream NumPy keeps from version to version


def draw_scene(task: Task, label: int, random: Random) -> Scene:
    """A scene whose tiles lie apart and whose evidence, turned left to right, lies on none of them."""
    while True:
        scene = DRAW[task.name](task, label, random)
        tiles, evidence = scene.tiles, [tile for tile in scene.tiles if tile.share > 0]
        apart = task.name == "patch" or all(
            one.clear_of(other, cells=1) for i, one in enumerate(tiles) for other in tiles[:i]
        )
        turned = tiles if scene.tinted else evidence
        if apart and all(one.mirrored.clear_of(other) for one in turned for other in tiles):
            return scene


def _anywhere(size: int, random: Random, first: int = 0) -> tuple[int, int, int]:
    """Row, column and size of a tile; ``first`` is the least row and column."""
    row, column = (int(random.randint(first, GRID - size + 1)) for _ in range(2))
    return row, column, size


def _unused(random: Random) -> str:
    return PARTNERS[random.randint(len(PARTNERS))]


def _cells(task: Task, label: int, random: Random) -> Scene:
    """The class's colour once where it speaks for the class, and once where it speaks against it."""
    own = half(label).numpy()
    while True:
        found = Tile(*_anywhere(task.tile, random), EVIDENCE[label], 1.0)
        other = Tile(*_anywhere(task.tile, random), EVIDENCE[label], task.against or 0.0)
        if own[_cells_of(found)].all() and not own[_cells_of(other)].any():
            return Scene(label, (found, other), (replace(other, share=1.0),))


def _cells_of(tile: Tile) -> tuple[slice, slice]:
    return slice(tile.row, tile.row + tile.size), slice(tile.column, tile.column + tile.size)


def _patch(task: Task, label: int, random: Random) -> Scene:
    """A patch that decides, on an object that is not used."""
    row, column, size = _anywhere(OBJECT, random)
    whole = Tile(row, column, size, _unused(random))
    place = (row + int(random.randint(OBJECT)), column + int(random.randint(OBJECT)))
    return Scene(label, (whole, Tile(*place, task.tile, EVIDENCE[label], 1.0)), (replace(whole, share=1.0),))


def _two_objects(task: Task, label: int, random: Random) -> Scene:
    """An object of the class, and a fainter one of another class."""
    another = EVIDENCE[(label + 1 + random.randint(len(EVIDENCE) - 1)) % len(EVIDENCE)]
    found = Tile(*_anywhere(task.tile, random), EVIDENCE[label], 1.0)
    other = Tile(*_anywhere(task.tile, random), another, strength=FAINT)
    return Scene(label, (found, other), (replace(other, share=1.0),))


def _shares(task: Task, label: int, random: Random) -> Scene:
    """Two objects that both speak for the class, one more than the other; the distractor has it the other way round."""
    found = Tile(*_anywhere(task.tile, random), EVIDENCE[label], task.own)
    other = Tile(*_anywhere(task.tile, random), PARTNERS[label], task.partner)
    return Scene(label, (found, other), (replace(found, share=task.partner), replace(other, share=task.own)))


def _distractor(task: Task, label: int, random: Random) -> Scene:
    """Evidence, and elsewhere a larger object that is not used."""
    other = Tile(*_anywhere(OBJECT, random), _unused(random))
    found = Tile(*_anywhere(task.tile, random), EVIDENCE[label], 1.0)
    return Scene(label, (other, found), (replace(other, share=1.0),))


def _background(task: Task, label: int, random: Random) -> Scene:
    """An object that is not used, on a background of the class's colour; a row and a column of it at least."""
    whole = Tile(*_anywhere(OBJECT, random, first=1), _unused(random))
    return Scene(label, (whole,), (replace(whole, share=1.0),), tinted=True)


DRAW: dict[str, Callable[[Task, int, Random], Scene]] = {
    "cells": _cells,
    "patch": _patch,
    "two_objects": _two_objects,
    "shares": _shares,
    "distractor": _distractor,
    "background": _background,
}
