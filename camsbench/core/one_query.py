"""Heads that read a few tokens of their last attention, such as the class token, calculated for these alone.

Behind the last attention of such a head tokens no longer mix, and the classifier reads the first P. So the attention
needs P queries, and what follows P tokens, where the head as it is has all of them. Keys and values stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate, map_arg

from camsbench.core.graphs import agrees, argument, copied, drop_unused, is_attention, noise_like, sharing, tried
from camsbench.core.own_queries import with_own_queries

MOST = 16  # tokens that are read: a class token, a distillation token, registers
SIZED = {"reshape", "view", "expand", "unflatten", torch.reshape}  # calls that may name the number of tokens

_known: WeakKeyDictionary[nn.Module, fx.GraphModule | None] = WeakKeyDictionary()


def one_query(head: nn.Module, parts: tuple[Tensor, ...]) -> fx.GraphModule | None:
    """The same logits of the same ``parts`` of images by fewer queries; None where ``head`` reads all tokens.

    Made once a head, from its form and the shapes of ``parts`` alone. It shares the head's modules.
    """
    if not isinstance(head, fx.GraphModule):
        return None
    if head not in _known:
        _known[head] = _made(head, parts)
    return _known[head]


@torch.inference_mode(mode=False)
@torch.no_grad()
def _made(head: fx.GraphModule, parts: tuple[Tensor, ...]) -> fx.GraphModule | None:
    if not any(is_attention(head, n) for n in head.graph.nodes):
        return None
    with torch._C.DisableTorchFunction():  # whoever watches the functions of a pass does not see these
        try:
            graph = _proved(tried(head), parts)
        except Exception:  # it does not run on the host, or not on noise: modules raise many kinds
            return None
    return None if graph is None else sharing(head, graph)


def _proved(trial: fx.GraphModule, parts: tuple[Tensor, ...]) -> fx.Graph | None:
    """The graph, with queries of their own where it can have them, that gives the trial's logits."""
    graph = _narrowed(trial, noise_like(parts, 2))
    if graph is None:
        return None
    return next((each for each in (with_own_queries(trial, graph), graph) if each and _same(trial, each, parts)), None)


def _same(trial: fx.GraphModule, graph: fx.Graph, parts: tuple[Tensor, ...]) -> bool:
    """Whether a graph gives the trial's logits, in batches of several sizes."""
    quick = fx.Interpreter(sharing(trial, graph))  # a GraphModule prints what it raises
    given = [noise_like(parts, images) for images in (1, 2, 3)]
    return all(agrees(quick.run(*each, enable_io_processing=False), trial(*each)) for each in given)


def _narrowed(trial: fx.GraphModule, parts: tuple[Tensor, ...]) -> fx.Graph | None:
    """The graph for the fewest queries of the last attention that give what the head reads."""
    passed = fx.Interpreter(fx.GraphModule(trial, copied(trial.graph)), garbage_collect_values=False)
    passed.run(*parts, enable_io_processing=False)
    last = next(n for n in reversed(passed.graph.nodes) if is_attention(trial, n))
    query = last.args[0] if last.args else None
    if not isinstance(query, fx.Node):
        return None
    axis = -2
    if last.op == "call_module" and not trial.get_submodule(str(last.target)).batch_first:
        axis = -3
    many = passed.env[query].shape[axis]
    begin = {_inserted(passed, last, query, axis, many): axis}
    mask = argument(last, 3 if last.op == "call_function" else 5, "attn_mask")
    if isinstance(mask, fx.Node) and passed.env[mask].shape[-2] == many:
        begin[_inserted(passed, last, mask, -2, many)] = -2
    for rows in range(1, min(MOST + 1, many)):
        graph = _Narrowing(passed, begin, many, rows).graph()
        if graph is not None:
            return graph
    return None


def _inserted(passed: fx.Interpreter, last: fx.Node, source: fx.Node, axis: int, many: int) -> fx.Node:
    """A node before ``last`` that hands it all ``many`` rows of ``source``, of which fewer can be taken."""
    with passed.graph.inserting_before(last):
        node = passed.graph.call_function(torch.narrow, (source, axis, 0, many))
    place = [n is source for n in last.args].index(True) if source in last.args else -1
    if place >= 0:  # once: keys may be the same node
        last.args = (*last.args[:place], node, *last.args[place + 1 :])
    else:
        last.kwargs = {name: node if value is source else value for name, value in last.kwargs.items()}
    passed.env[node] = passed.env[source]
    return node


@dataclass
class _Narrowing:
    """Copies the nodes of a head, those behind its last attention for the first ``rows`` tokens alone.

    Each step is run on the first rows of what it was given, and must give the first rows of what it gave, or all of
    it where it reads no others.
    """

    passed: fx.Interpreter  # of images through the head: env holds what each node gave
    begin: dict[fx.Node, int]  # what hands all rows to the attention, and their axis
    many: int
    rows: int
    made: fx.Graph = field(default_factory=fx.Graph)
    copies: dict[fx.Node, fx.Node] = field(default_factory=dict)
    few: dict[fx.Node, Any] = field(default_factory=dict)  # what the nodes behind those give

    def graph(self) -> fx.Graph | None:
        """The copy; None where the head reads other tokens."""
        for n in self.passed.graph.nodes:
            if n in self.begin:
                self.copies[n], self.few[n] = self._first(n.args[0], self.begin[n])
            elif self.few.keys().isdisjoint(n.all_input_nodes):
                self.copies[n] = self.made.node_copy(n, self.copies.__getitem__)
            elif n.op == "output":
                if not agrees(self.few[n.args[0]], self.passed.env[n.args[0]]):
                    return None
                self.made.output(self.copies[n.args[0]])
            elif not any(self._taken(n, *way) for way in self._ways(n)):
                return None
        drop_unused(self.made)
        return self.made

    def _first(self, n: Any, axis: int) -> tuple[fx.Node, Tensor]:
        """The first rows of a node's output."""
        made = self.made.call_function(torch.narrow, (self.copies[n], axis, 0, self.rows))
        return made, self.passed.env[n].narrow(axis, 0, self.rows)

    def _ways(self, n: fx.Node) -> Iterator[tuple[Any, Any, dict[fx.Node, int]]]:
        """Arguments for a step, and others of its operands with the axis of the rows to take: it is one of these."""
        yield n.args, n.kwargs, {}
        yield n.args, n.kwargs, self._joining(n)
        for place in range(self._sizes(n) if n.target in SIZED else 0):
            yield self._resized(n.args, place), n.kwargs, {}

    def _joining(self, n: fx.Node) -> dict[fx.Node, int]:
        """The operands with all rows that are added to, or multiplied with, one with few: a residual stream."""
        axes = {self._axis(source) for source in n.all_input_nodes if source in self.few} - {None}
        if len(axes) != 1:
            return {}
        (axis,) = axes
        assert axis is not None
        others = [source for source in n.all_input_nodes if source not in self.few]
        return {source: axis for source in others if self._reaches(self.passed.env[source], axis)}

    def _axis(self, n: fx.Node) -> int | None:
        """The axis of a node's rows, counted from the last; None where it has none."""
        few, whole = self.few[n], self.passed.env[n]
        if not isinstance(few, Tensor):
            return None
        return next((axis for axis in range(-few.ndim, 0) if few.shape[axis] != whole.shape[axis]), None)

    def _reaches(self, whole: object, axis: int) -> bool:
        return isinstance(whole, Tensor) and whole.ndim >= -axis and whole.shape[axis] == self.many

    def _sizes(self, n: fx.Node) -> int:
        """How many arguments may be the number of tokens."""
        found: list[Any] = []
        map_aggregate(n.args, lambda a: found.append(a) if self._is_size(a) else None)
        return len(found)

    def _resized(self, args: Any, place: int) -> Any:
        """The arguments with the few rows in place of one of them."""
        seen = iter(range(len(args) + 16))
        return map_aggregate(args, lambda a: self.rows if self._is_size(a) and next(seen) == place else a)

    def _is_size(self, a: Any) -> bool:
        value = self.passed.env[a] if isinstance(a, fx.Node) and a not in self.few else a
        return type(value) is int and value == self.many

    def _taken(self, n: fx.Node, args: Any, kwargs: Any, joining: dict[fx.Node, int]) -> bool:
        """Run a step, and copy it if it gives what it should."""
        first = {source: self._first(source, axis) for source, axis in joining.items()}
        nodes = {**self.copies, **{source: node for source, (node, _) in first.items()}}
        values = {**self.passed.env, **self.few, **{source: value for source, (_, value) in first.items()}}
        try:
            call = getattr(self.passed, n.op)
            out = call(n.target, *map_arg((args, kwargs), values.__getitem__))
        except Exception:  # of sizes that do not fit; modules raise many kinds
            return False
        if not self._fits(out, self.passed.env[n]):
            return False
        self.copies[n] = self.made.create_node(n.op, n.target, *map_arg((args, kwargs), nodes.__getitem__))
        self.few[n] = out
        return True

    def _fits(self, out: object, whole: object) -> bool:
        """Whether ``out`` is ``whole``, or its first rows."""
        if isinstance(out, Tensor) and isinstance(whole, Tensor):
            if out.shape == whole.shape:
                return agrees(out, whole)
            axes = [axis for axis, size in enumerate(whole.shape) if size == self.many]
            return any(agrees(out, whole.narrow(axis, 0, self.rows)) for axis in axes)
        if isinstance(out, (tuple, list)) and isinstance(whole, (tuple, list)):
            return len(out) == len(whole) and all(map(self._fits, out, whole))
        if isinstance(out, Tensor) or isinstance(whole, Tensor):
            return False
        return out == whole or (out == self.rows and whole == self.many)
