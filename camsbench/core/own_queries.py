"""A linear layer that gives queries, keys and values together, taken apart: so that few queries cost little."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from camsbench.core.graphs import copied, drop_unused


def with_own_queries(head: fx.GraphModule, graph: fx.Graph) -> fx.Graph | None:
    """The same graph with one linear layer for queries, keys and values taken apart: queries of the few rows alone.

    As timm writes it, that is ``qkv(x).reshape(B, N, 3, H, d).permute(2, 0, 3, 1, 4).unbind(0)``, and norms of the
    queries. Its weight is cut at each pass, which copies nothing. None where the graph has no such layer.
    """
    made = copied(graph)
    for first in [n for n in made.nodes if n.target is torch.narrow and n.args[1:3] == (-2, 0)]:
        fused = _fused(head, first)
        if fused is not None:
            fused.take_apart(made)
            drop_unused(made)
            return made
    return None


@dataclass(frozen=True)
class _Fused:
    """The nodes of a linear layer for queries, keys and values."""

    first: fx.Node  # that takes the first rows of the queries
    norms: list[fx.Node]  # of the queries, the last first
    unbound: fx.Node
    axes: fx.Node
    sizes: fx.Node
    linear: fx.Node
    weighted: nn.Linear

    def take_apart(self, made: fx.Graph) -> None:
        rows = self.first.args[3]
        x, width = self.linear.args[0], self.weighted.out_features // 3
        with made.inserting_before(self.linear):
            few = made.call_function(torch.narrow, (x, 1, 0, rows))
        queries = self._projected(made, few, 0, width, (self.sizes.args[1], rows, 1, *self.sizes.args[4:]))
        others = self._projected(made, x, width, 2 * width, (*self.sizes.args[1:3], 2, *self.sizes.args[4:]))
        with made.inserting_before(self.unbound):
            query = made.call_method("select", (queries, 0, 0))
            for norm in reversed(self.norms):
                query = made.call_module(str(norm.target), (query,))
            both = made.call_method("unbind", (others, 0))
        self.first.replace_all_uses_with(query)
        for taken in list(self.unbound.users):
            place = int(taken.args[1])  # type: ignore[arg-type]
            if place:
                taken.args = (both, place - 1)

    def _projected(self, made: fx.Graph, x: Any, start: int, width: int, sizes: tuple[Any, ...]) -> fx.Node:
        """Some rows of the weight applied to ``x``, and the axes moved as before."""
        name = str(self.linear.target)
        with made.inserting_before(self.unbound):
            weight = made.call_function(torch.narrow, (made.get_attr(f"{name}.weight"), 0, start, width))
            bias = None
            if self.weighted.bias is not None:
                bias = made.call_function(torch.narrow, (made.get_attr(f"{name}.bias"), 0, start, width))
            out = made.call_function(F.linear, (x, weight, bias))
            out = made.call_method("reshape", (out, *sizes))
            return made.call_method("permute", (out, *self.axes.args[1:]))


def _fused(head: fx.GraphModule, first: fx.Node) -> _Fused | None:
    """The layer that gives the queries of which ``first`` takes some; None where it has another form."""
    node, norms = first.args[0], list[fx.Node]()
    while isinstance(node, fx.Node) and node.op == "call_module" and len(node.users) == 1 and len(node.args) == 1:
        norms.append(node)
        node = node.args[0]
    chain: list[fx.Node] = []
    for target in (operator.getitem, "unbind", "permute", "reshape", None):
        if not isinstance(node, fx.Node) or (target is not None and node.target != target):
            return None
        if len(node.users) > 1 and target != "unbind":
            return None
        chain.append(node)
        node = node.args[0] if node.args else None
    query, unbound, axes, sizes, linear = chain
    weighted = head.get_submodule(str(linear.target)) if linear.op == "call_module" else None
    if not isinstance(weighted, nn.Linear) or type(weighted) is not nn.Linear or query.args[1] != 0:
        return None
    if len(sizes.args) != 6 or sizes.args[3] != 3 or axes.args[1:] != (2, 0, 3, 1, 4) or unbound.args[1:] != (0,):
        return None
    if any(user.target is not operator.getitem for user in unbound.users):
        return None
    return _Fused(first, norms, unbound, axes, sizes, linear, weighted)
