"""How a layer's output lies in memory, and how it is shown as a map [B,K,h,w]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import fx

KINDS = ("map", "tokens", "channels_last")
MOST_PREFIX = 16  # tokens before the patches: a class token, a distillation token, registers


@dataclass(frozen=True)
class Layout:
    """``map`` [B,K,h,w], ``channels_last`` [B,h,w,K], or ``tokens`` [B,P+h·w,K]: P others, then the patches by rows."""

    kind: str
    grid: tuple[int, int]  # h, w
    prefix: int = 0  # P

    @property
    def patches(self) -> int:
        return self.grid[0] * self.grid[1]

    def show(self, graph: fx.Graph, out: fx.Node) -> tuple[fx.Node, ...]:
        """Add to ``graph`` the map of the layer's output ``out``, and its prefix [B,P,K] where it has one."""
        if self.kind == "map":
            return (out,)
        if self.kind == "channels_last":
            return (graph.call_method("permute", (out, 0, 3, 1, 2)),)
        patches = graph.call_function(torch.narrow, (out, 1, self.prefix, self.patches)) if self.prefix else out
        flat = graph.call_method("transpose", (patches, 1, 2))
        A = graph.call_method("unflatten", (flat, 2, self.grid))
        return (A, graph.call_function(torch.narrow, (out, 1, 0, self.prefix))) if self.prefix else (A,)

    def hide(self, graph: fx.Graph, A: fx.Node, prefix: fx.Node | None) -> fx.Node:
        """Add to ``graph`` the layer's output of its map, and of its prefix."""
        if self.kind == "map":
            return A
        if self.kind == "channels_last":
            return graph.call_method("permute", (A, 0, 2, 3, 1))
        flat = graph.call_method("flatten", (A, 2))
        patches = graph.call_method("transpose", (flat, 1, 2))
        return patches if prefix is None else graph.call_function(torch.cat, ([prefix, patches], 1))


@dataclass(frozen=True)
class Asked:
    """What a user says of a layer's layout; None: what its shape shows."""

    kind: str | None = None
    grid: tuple[int, int] | None = None
    prefix: int | None = None


def layout_of(
    shape: Sequence[int], size: tuple[int, int], grids: Iterable[tuple[int, int]] = (), asked: Asked | None = None
) -> Layout | None:
    """The layout of an output ``shape`` of images ``size``; None where it is none.

    Args:
        grids: those of the maps before it, the nearest first: tokens are likely to be such a map's cells.
        asked: what is known.
    """
    asked = asked or Asked()
    if len(shape) == 4 and asked.kind != "tokens":
        for kind, sides in (("map", shape[2:]), ("channels_last", shape[1:3])):
            if asked.kind in (None, kind) and in_proportion(sides, size) and sides[0] * sides[1] > 1:
                return Layout(kind, (sides[0], sides[1]))
    if len(shape) == 3 and asked.kind in (None, "tokens"):
        return _tokens(shape[1], size, [asked.grid] if asked.grid else grids, asked)
    return None


def _tokens(count: int, size: tuple[int, int], grids: Iterable[tuple[int, int]], asked: Asked) -> Layout | None:
    likely = [(grid, count - grid[0] * grid[1]) for grid in grids]
    if not asked.grid:
        likely += _grids(count, size)
    for grid, prefix in likely:
        if 0 <= prefix <= MOST_PREFIX and grid[0] * grid[1] > 1 and asked.prefix in (None, prefix):
            return Layout("tokens", grid, prefix)
    return None


def _grids(count: int, size: tuple[int, int]) -> list[tuple[tuple[int, int], int]]:
    """Grids of the image's proportions with at most ``count`` cells, and what is left over; the least left first."""
    found = []
    for rows in range(1, count + 1):
        exact = rows * size[1] / size[0]
        columns = round(exact)
        if abs(columns - exact) < 0.5 / rows and 0 <= count - rows * columns <= MOST_PREFIX:
            found.append(((rows, columns), count - rows * columns))
    return sorted(found, key=lambda pair: pair[1])


def in_proportion(sides: Sequence[int], size: tuple[int, int]) -> bool:
    """Whether a map's sides are to each other as the image's are, up to the pixels that padding and strides round."""
    (h, w), (height, width) = sides, size
    if height == width:
        return h == w
    stride = max(height / h, width / w)
    return abs(height / stride - h) <= 2 and abs(width / stride - w) <= 2
