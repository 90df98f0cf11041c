"""One walk of images through a traced network: the shape of each node's output, and where all of the image passes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn

from camsbench.models.layout import in_proportion


@dataclass(frozen=True)
class Walk:
    """What ``images`` images of ``size`` made of each node: the shape of a tensor, or another value itself."""

    model: nn.Module
    graph: fx.Graph
    x: Tensor
    shapes: dict[fx.Node, torch.Size]  # of floating-point tensors
    values: dict[fx.Node, Any]  # of what is no such tensor

    @classmethod
    def of(cls, model: nn.Module, graph: fx.Graph, x: Tensor) -> Walk:
        recorder = _Recorder(model, graph)
        with torch.no_grad():
            recorder.run(x.clone(), enable_io_processing=False)
        return cls(model, graph, x, recorder.shapes, recorder.values)

    @property
    def size(self) -> tuple[int, int]:
        return (self.x.shape[2], self.x.shape[3])

    @cached_property
    def of_the_image(self) -> set[fx.Node]:
        """The tensors, and lists of them, that the image itself reaches, not its shape alone."""
        found: set[fx.Node] = set()
        for node in self.graph.nodes:
            if (node.op == "placeholder" and not found) or (
                self.holds_tensors(node) and not found.isdisjoint(node.all_input_nodes)
            ):
                found.add(node)
        return found

    @cached_property
    def cuts(self) -> list[fx.Node]:
        """The nodes through which all of the image passes to the output, in their order."""
        order = list(self.graph.nodes)
        last = {source: place for place, node in enumerate(order) for source in node.all_input_nodes}
        alive: set[fx.Node] = set()
        found = []
        for place, node in enumerate(order):
            if node in self.of_the_image:
                alive.add(node)
            alive = {each for each in alive if last.get(each, -1) > place}
            if alive == {node} and node in self.shapes and node.op != "placeholder":
                found.append(node)
        return found

    def grids_before(self, node: fx.Node) -> Iterator[tuple[int, int]]:
        """The grids of the maps made before ``node``, the nearest first."""
        seen: set[tuple[int, int]] = set()
        order = list(self.graph.nodes)
        for earlier in reversed(order[: order.index(node)]):
            shape = self.shapes.get(earlier, ())
            if len(shape) != 4 or shape[0] != len(self.x) or earlier.op == "placeholder":
                continue
            for sides in (shape[2:], shape[1:3]):
                grid = (sides[0], sides[1])
                if grid not in seen and in_proportion(grid, self.size) and grid != self.size:
                    seen.add(grid)
                    yield grid

    def in_batches_of(self, images: int) -> Walk:
        """The same for another number of images."""
        return Walk.of(self.model, self.graph, self.x[:1].expand(images, -1, -1, -1).contiguous())

    def holds_tensors(self, node: fx.Node) -> bool:
        """Whether a node gives a tensor or some, not a size."""
        return node in self.shapes or _has_tensor(self.values.get(node))


def _has_tensor(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_has_tensor, value))
    if isinstance(value, dict):
        return any(map(_has_tensor, value.values()))
    return isinstance(value, Tensor)


class _Recorder(fx.Interpreter):
    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        passed = fx.GraphModule(model, graph)
        super().__init__(passed)
        self.shapes: dict[fx.Node, torch.Size] = {}
        self.values: dict[fx.Node, Any] = {}
        self._place = {copy.name: original for copy, original in zip(passed.graph.nodes, graph.nodes, strict=True)}

    def run_node(self, n: fx.Node) -> Any:
        out = super().run_node(n)
        original = self._place[n.name]
        if isinstance(out, Tensor) and out.is_floating_point():
            self.shapes[original] = out.shape
        elif isinstance(out, (tuple, list, dict)) and _has_tensor(out):
            self.values[original] = (torch.empty(0),)  # that there are some is all that is asked
        else:
            self.values[original] = out
        return out
