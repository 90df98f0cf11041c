"""How a layer's output lies in memory, and how it is shown as a map [B,K,h,w]."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from camsbench.errors import CamsbenchError

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

    def map_of(self, out: Tensor) -> Tensor:
        """The map [B,K,h,w] of the layer's output."""
        if self.kind == "map":
            return out
        if self.kind == "channels_last":
            return out.permute(0, 3, 1, 2)
        return out[:, self.prefix : self.prefix + self.patches].transpose(1, 2).unflatten(2, self.grid)

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


def asked_layout(kind: object, grid: object, prefix: object) -> Asked:
    """What the options ``model.layout``, ``model.grid`` and ``model.prefix`` say.

    Raises:
        CamsbenchError: one of them is none of its choices.
    """
    if kind not in (None, *KINDS):
        raise CamsbenchError(f"model.layout={kind}: choose one of {', '.join(KINDS)}, or null")
    sides = tuple(grid) if isinstance(grid, (list, tuple)) else ()
    if grid is not None and (len(sides) != 2 or any(type(side) is not int or side < 1 for side in sides)):
        raise CamsbenchError(f"model.grid={grid}: give the rows and columns of the patches, as [14,14]")
    if prefix is not None and (type(prefix) is not int or prefix < 0):
        raise CamsbenchError(f"model.prefix={prefix}: give the number of tokens before the patches, from 0 up")
    if kind in ("map", "channels_last") and (grid is not None or prefix):
        raise CamsbenchError(f"model.layout={kind} has no tokens: leave model.grid and model.prefix out")
    return Asked(str(kind) if kind else None, (sides[0], sides[1]) if sides else None, prefix)


def layout_of(
    shape: Sequence[int], size: tuple[int, int], grids: Iterable[tuple[int, int]] = (), asked: Asked | None = None
) -> Layout | None:
    """The layout of an output ``shape`` of images ``size``; None where it is none.

    Args:
        grids: those of the maps before it, the nearest first: tokens are likely to be such a map's cells.
        asked: what is known.
    """
    asked = asked or Asked()
    of_tokens = asked.kind == "tokens" or asked.grid is not None or asked.prefix is not None
    if len(shape) == 4 and not of_tokens:
        for kind, sides in (("map", shape[2:]), ("channels_last", shape[1:3])):
            if asked.kind in (None, kind) and in_proportion(sides, size) and sides[0] * sides[1] > 1:
                return Layout(kind, (sides[0], sides[1]))
    if len(shape) == 3 and asked.kind in (None, "tokens"):
        return _tokens(shape[1], size, [asked.grid] if asked.grid else grids, asked)
    return None


def _tokens(count: int, size: tuple[int, int], grids: Iterable[tuple[int, int]], asked: Asked) -> Layout | None:
    nearest = sorted(grids, key=lambda grid: _off(grid, size))  # a stable order: equal ones stay as they are
    likely = [(grid, count - grid[0] * grid[1]) for grid in nearest]
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
    if size[0] == size[1]:
        return sides[0] == sides[1]
    return _off(sides, size) <= 2


def _off(sides: Sequence[int], size: tuple[int, int]) -> float:
    """How many cells a grid's sides are off the image's proportions."""
    stride = max(size[0] / sides[0], size[1] / sides[1])
    return max(abs(size[0] / stride - sides[0]), abs(size[1] / stride - sides[1]))
