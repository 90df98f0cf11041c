"""The two parts of a network cut behind a node, as graphs: features up to it, the head behind it."""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from camsbench.errors import CamsbenchError
from camsbench.models.layout import Layout
from camsbench.models.walk import Walk

IN_PLACE_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


@dataclass(frozen=True)
class Cut:
    """A cut behind ``node``, whose output lies as ``layout`` says."""

    walk: Walk
    node: fx.Node
    layout: Layout
    name: str  # of the network, for the sentences

    @cached_property
    def before(self) -> set[fx.Node]:
        return _ancestors(self.node)

    @cached_property
    def behind(self) -> list[fx.Node]:
        """What the output needs beside the nodes before, in their order."""
        wanted = _ancestors(self._output) - self.before
        return [n for n in self.walk.graph.nodes if n in wanted and n.op != "output"]

    @cached_property
    def beside(self) -> dict[fx.Node, fx.Node]:
        """The other tensors that the image reaches before the cut and that are used behind it, and where they are."""
        found: dict[fx.Node, fx.Node] = {}
        for n in self.behind:
            for source in n.all_input_nodes if self.walk.holds_tensors(n) else ():
                if source in self.before and source is not self.node and source in self.walk.of_the_image:
                    found.setdefault(source, n)
        return found

    @property
    def _output(self) -> fx.Node:
        return next(n for n in self.walk.graph.nodes if n.op == "output")

    def features(self) -> nn.Module:
        """x [B,C,H,W] -> A [B,K,h,w], or a tuple of A, the tokens before its patches if any, and ``beside``.

        It never writes into its input.
        """
        wanted = self.before.union(*(_ancestors(n) for n in self.beside))
        part = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        for n in self.walk.graph.nodes:
            if n in wanted or n.op == "placeholder":
                copies[n] = part.node_copy(n, copies.__getitem__)
        shown = (*self.layout.show(part, copies[self.node]), *(copies[n] for n in self.beside))
        part.output(shown[0] if len(shown) == 1 else shown)
        module = fx.GraphModule(self.walk.model, part)
        image = next(n for n in part.nodes if n.op == "placeholder")
        return _out_of_place(module, list(image.users))

    def head(self) -> nn.Module:
        """A, and what else ``features`` gives -> logits [B,C]. It never writes into its input."""
        part = fx.Graph()
        A = part.placeholder("A")
        prefix = part.placeholder("prefix") if self.layout.prefix else None
        copies = {source: part.placeholder(f"beside_{place}") for place, source in enumerate(self.beside)}
        copies[self.node] = self.layout.hide(part, A, prefix)
        bring = _Bring(self.walk, part, A, copies)
        for n in self.behind:
            if not self.walk.holds_tensors(n) and not self._known_behind(n, copies):
                continue  # a size of before: a number where it is used
            bring.copy(n)
        result = self._output.args[0]
        if not isinstance(result, fx.Node):
            raise CamsbenchError(
                f"{self.name} returns {type(result).__name__}, not logits [B,C]: wrap it so that it does"
            )
        part.output(copies[result])
        module = fx.GraphModule(self.walk.model, part)
        return _out_of_place(module, list(part.nodes))

    def _known_behind(self, n: fx.Node, copies: dict[fx.Node, fx.Node]) -> bool:
        return all(source in copies for source in n.all_input_nodes)


@dataclass
class _Bring:
    """Copies nodes into a head, and with them what they use of before: weights, what is made of them, and sizes."""

    walk: Walk
    part: fx.Graph
    A: fx.Node
    copies: dict[fx.Node, fx.Node]
    _others: list[Walk] = field(default_factory=list)

    def copy(self, n: fx.Node) -> None:
        sizes = {}
        for source in n.all_input_nodes:
            if source in self.copies:
                continue
            if self.walk.holds_tensors(source) or source.op == "get_attr":
                self.copy(source)
            else:
                sizes[source] = self._size(source)
        args, kwargs = map_arg((n.args, n.kwargs), lambda source: sizes.get(source, self.copies.get(source, source)))
        self.copies[n] = self.part.create_node(n.op, n.target, args, kwargs, n.name)
        self.copies[n].meta = copy.copy(n.meta)

    def _size(self, source: fx.Node) -> Any:
        """A number, or several, in a graph for any number of images: of the activations' own where it counts them."""
        if not self._others:
            self._others.extend(self.walk.in_batches_of(images) for images in (3, 5))
        walks = (self.walk, *self._others)
        return self._sized([walk.values[source] for walk in walks], [len(walk.x) for walk in walks])

    def _sized(self, values: list[Any], images: list[int]) -> Any:
        if isinstance(values[0], (tuple, list)):
            return tuple(self._sized(list(each), images) for each in zip(*values, strict=True))
        if all(value == values[0] for value in values):
            return values[0]
        times = values[0] // images[0] if isinstance(values[0], int) else 0
        if not times or any(value != times * count for value, count in zip(values, images, strict=True)):
            raise CamsbenchError("a size that grows with the number of images, and not with it alone, crosses the cut")
        count = self.part.call_method("size", (self.A, 0))
        return count if times == 1 else self.part.call_function(operator.mul, (count, times))


def _ancestors(node: fx.Node) -> set[fx.Node]:
    seen: set[fx.Node] = set()
    todo = [node]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(current.all_input_nodes)
    return seen


def _out_of_place(module: fx.GraphModule, nodes: list[fx.Node]) -> nn.Module:
    """Replace in-place operations at ``nodes``; modules are copied shallowly, the model keeps its own."""
    for n in nodes:
        if n.op == "call_module" and getattr(module.get_submodule(str(n.target)), "inplace", False):
            own = copy.copy(module.get_submodule(str(n.target)))
            own.inplace = False  # type: ignore[assignment]
            parent, _, leaf = str(n.target).rpartition(".")
            setattr(module.get_submodule(parent), leaf, own)
        elif n.op == "call_function" and n.target in IN_PLACE_OPERATORS:
            n.target = IN_PLACE_OPERATORS[n.target]
        elif n.op == "call_function" and n.kwargs.get("inplace"):
            n.kwargs = {**n.kwargs, "inplace": False}
        elif n.op == "call_method" and str(n.target).endswith("_") and hasattr(Tensor, str(n.target)[:-1]):
            n.target = str(n.target)[:-1]
    module.graph.lint()
    module.recompile()
    return module.eval()
