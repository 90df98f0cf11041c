"""Heads whose first layer with weights is linear, behind pooling: what the closed forms need to know of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from camsbench.core.graphs import sharing
from camsbench.core.types import Split

AVERAGES: set[Any] = {nn.AdaptiveAvgPool2d, nn.AvgPool2d, F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, "mean"}
MAXIMA: set[Any] = {nn.MaxPool2d, F.max_pool2d, torch.max_pool2d}
RECTIFIERS: set[Any] = {nn.ReLU, F.relu, torch.relu, "relu"}
NOTHING: set[Any] = {nn.Identity, nn.Dropout}
FLATTEN: set[Any] = {nn.Flatten, torch.flatten, "flatten"}
MOVES: set[Any] = {"permute", "transpose", torch.permute, torch.transpose}  # of axes: nothing is calculated


@dataclass(frozen=True)
class LinearHead:
    """head(A) = rest(W·flatten(pool(A)) + b), ``pool`` working on each channel alone.

    For a ≥ 0 pool(a·M) = a·pool(M), and for every a where ``signed``, that is where it only averages: so what the head
    makes of an activation spread over a mask follows from the mask's own pooling. Where the pooling begins with a ReLU,
    a may be replaced by ReLU(a) (``rectified``).
    """

    pool: fx.GraphModule  # [B,K,h,w] -> [B,K,...]
    linear: nn.Linear
    rest: nn.Module | None  # None: the linear layer gives the logits
    signed: bool
    rectified: bool
    _packed: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def pooled(self, maps: Tensor) -> Tensor:
        """Maps [B,K,h,w] as the linear layer sees them: [B,K,W], W places a channel."""
        pooled: Tensor = self.pool(maps)
        return pooled.flatten(2) if pooled.ndim > 2 else pooled[..., None]

    def weight(self, channels: int) -> Tensor:
        """The linear layer's weight [O,K,W]."""
        return self.linear.weight.detach().view(self.linear.out_features, channels, -1)

    def slices(self, channels: int) -> Tensor:
        """The weight as W matrices [W,O,K] side by side in memory: a copy, made once and again when the weight changes.

        411 MB for the first layer of a VGG.
        """
        weight = self.linear.weight
        known = self._packed
        if known.get("weight") is not weight or known["version"] != weight._version:
            known.clear()  # never two copies at once
            known.update(
                weight=weight, version=weight._version, slices=self.weight(channels).permute(2, 0, 1).contiguous()
            )
        slices: Tensor = known["slices"]
        return slices


_known: WeakKeyDictionary[nn.Module, LinearHead | None] = WeakKeyDictionary()


def linear_head(split: Split) -> LinearHead | None:
    """The head of ``split`` in its parts; None where it has another form, is not traced, or short cuts are off."""
    traced = getattr(split, "traced_head", None)
    if not split.options.short_cuts or not isinstance(traced, fx.GraphModule):
        return None
    if traced not in _known:
        _known[traced] = _recognise(traced)
    return _known[traced]


def _recognise(head: fx.GraphModule) -> LinearHead | None:
    kinds: list[set[Any]] = []
    node = next(n for n in head.graph.nodes if n.op == "placeholder")
    if sum(n.op == "placeholder" for n in head.graph.nodes) > 1:
        return None
    axes = "BKhw"  # of a node's output, n for a flattened map; a pooled map has no places left
    while len(node.users) == 1:
        last, node = node, next(iter(node.users))
        if node.op == "output" or list(node.all_input_nodes) != [last]:
            return None
        what = _what(head, node)
        if what is nn.Linear:
            return _parts(head, node, kinds) if axes in ("BK", "B") else None
        kind = next((k for k in (AVERAGES, MAXIMA, RECTIFIERS, NOTHING, FLATTEN, MOVES) if what in k), None)
        known = None if kind is None else _axes_behind(head, node, kind, axes)
        if kind is None or known is None:
            return None
        axes = known
        kinds.append(kind)
    return None


def _axes_behind(head: fx.GraphModule, node: fx.Node, kind: set[Any], axes: str) -> str | None:
    """The axes of a step's output; None where it mixes others than the places of the map."""
    if kind is MOVES:
        return _moved(node, axes)
    if kind is FLATTEN:
        if axes == "BKhw" and _flattened(head, node) == (2, -1):
            return "BKn"
        return "B" if axes in ("BKhw", "BK") and _flattened(head, node) == (1, -1) else None
    if kind is AVERAGES and node.target in {torch.mean, "mean"}:
        return _averaged(node, axes)
    return axes if kind in (RECTIFIERS, NOTHING) or axes == "BKhw" else None  # a pool works on the last two axes


def _moved(node: fx.Node, axes: str) -> str | None:
    places = node.args[1:] if len(node.args) > 2 else node.args[1] if len(node.args) > 1 else ()
    if not isinstance(places, (tuple, list)) or not all(isinstance(place, int) for place in places):
        return None
    order = [int(place) % len(axes) for place in places]
    if node.target in {"transpose", torch.transpose} and len(order) == 2:
        first, second = order
        order = list(range(len(axes)))
        order[first], order[second] = second, first
    return "".join(axes[place] for place in order) if sorted(order) == list(range(len(axes))) else None


def _averaged(node: fx.Node, axes: str) -> str | None:
    """The axes behind a mean, which must be that over the places of the map."""
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    over = (over,) if isinstance(over, int) else over
    if not isinstance(over, (tuple, list)) or not all(isinstance(axis, int) for axis in over):
        return None
    gone = {axes[int(axis) % len(axes)] for axis in over}
    if gone not in ({"h", "w"}, {"n"}):
        return None
    kept = node.args[2] if len(node.args) > 2 else node.kwargs.get("keepdim", False)
    if kept:
        return axes if axes == "BKhw" else None
    return "".join(axis for axis in axes if axis not in gone)


def _parts(head: fx.GraphModule, linear: fx.Node, kinds: list[set[Any]]) -> LinearHead:
    nodes = list(head.graph.nodes)
    pooling = [n for n in nodes[: nodes.index(linear)] if n.op != "get_attr" and not _joins_channels(head, n)]
    behind = [n for n in nodes[nodes.index(linear) + 1 :] if n.op != "output"]
    work = [kind for kind in kinds if kind not in (NOTHING, FLATTEN, MOVES)]
    module = head.get_submodule(str(linear.target))
    assert isinstance(module, nn.Linear)
    return LinearHead(
        pool=_chain(head, pooling),
        linear=module,
        rest=_behind(head, linear) if behind else None,
        signed=all(kind is AVERAGES for kind in work),
        rectified=bool(work) and work[0] is RECTIFIERS,
    )


def _chain(head: fx.GraphModule, nodes: list[fx.Node]) -> fx.GraphModule:
    """A graph of nodes that each take the one before."""
    graph = fx.Graph()
    made = graph.placeholder("A")
    for node in nodes[1:]:
        before = made
        made = graph.node_copy(node, lambda _, before=before: before)  # type: ignore[misc]
    graph.output(made)
    return sharing(head, graph)


def _behind(head: fx.GraphModule, linear: fx.Node) -> fx.GraphModule:
    """The graph behind ``linear``, of its output."""
    graph = fx.Graph()
    copies = {linear: graph.placeholder("h")}
    nodes = list(head.graph.nodes)
    for node in (n for n in nodes if n.op == "get_attr" or nodes.index(n) > nodes.index(linear)):
        if node.op == "output":
            graph.output(copies[node.args[0]])
        else:
            copies[node] = graph.node_copy(node, copies.__getitem__)
    return sharing(head, graph)


def _what(head: fx.GraphModule, node: fx.Node) -> type[nn.Module] | Callable[..., Any] | str:
    """A node's kind: its module's class, its function, or its method's name."""
    return type(head.get_submodule(str(node.target))) if node.op == "call_module" else node.target


def _joins_channels(head: fx.GraphModule, node: fx.Node) -> bool:
    """Whether a node flattens channels and places into one axis: the pooled map itself is wanted."""
    return _what(head, node) in FLATTEN and _flattened(head, node) == (1, -1)


def _flattened(head: fx.GraphModule, node: fx.Node) -> tuple[Any, Any]:
    """The first and the last axis that a flattening joins."""
    if node.op == "call_module":
        module = head.get_submodule(str(node.target))
        return module.start_dim, module.end_dim
    start = node.args[1] if len(node.args) > 1 else node.kwargs.get("start_dim", 0)
    end = node.args[2] if len(node.args) > 2 else node.kwargs.get("end_dim", -1)
    return start, end
