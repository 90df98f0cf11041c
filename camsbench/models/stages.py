"""The layers before the one that a network is cut at: those that are named, or the ends of the stages before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from camsbench.errors import CamsbenchError
from camsbench.models import graph
from camsbench.models.layout import Layout, layout_of
from camsbench.models.split import TorchSplit
from camsbench.models.walk import Walk


@dataclass(frozen=True)
class Layer:
    """A layer of a split's features: the node that gives its output, and how that lies."""

    name: str
    node: str
    layout: Layout


def named_layers(split: TorchSplit, names: Sequence[str], noise: Tensor) -> tuple[Layer, ...]:
    """The layers of these names; unlike a split's own, they need not be where all of the image passes.

    Args:
        noise: two images or more [B,C,H,W], for a dry pass of the features.

    Raises:
        CamsbenchError: one of them is not before the layer that the network is cut at, or has no map.
    """
    walk = _walk(split, noise)
    found = []
    for name in names:
        if walk is None:
            raise CamsbenchError(f"layers: the features of {split.name} are not traced, and so have no layer '{name}'")
        try:
            node = graph.find(walk.graph, name, split.name)
        except CamsbenchError as error:
            near = str(error).partition("try model.layer= ")[2]  # the sentence is of the target layer
            raise CamsbenchError(
                f"layers: {split.name} has no layer '{name}' before its target layer '{split.layer}': try {near}"
            ) from error
        if node is _own(walk, split):
            raise CamsbenchError(f"layers: '{name}' is the target layer itself, which is always taken: leave it out")
        layout = _layout(walk, node)
        if layout is None:
            raise CamsbenchError(f"layers: {split.name} at layer '{name}' gives neither a feature map nor tokens")
        found.append(Layer(name, node.name, layout))
    return tuple(found)


def stages_before(split: TorchSplit, most: int, noise: Tensor) -> tuple[Layer, ...]:
    """The ends of the last ``most`` stages before the layer that the network is cut at, the first of them first.

    A stage is what has maps of one size, and ends with its last block (a module that holds modules with parameters), or
    with its last layer where it has none. Where all maps before have the layer's own size (a ViT), each block is a
    stage. Features that are not traced have none.

    Args:
        noise: two images or more [B,C,H,W], for a dry pass of the features.
    """
    walk = _walk(split, noise)
    if walk is None:
        return ()
    own = _own(walk, split)
    ends = [end for end in _ends(walk) if end.layer.node != own.name]
    layout = _layout(walk, own)
    grids = dict.fromkeys(end.layer.layout.grid for end in ends)
    if layout is not None and any(grid != layout.grid for grid in grids):
        stages = [[end for end in ends if end.layer.layout.grid == grid] for grid in grids if grid != layout.grid]
        chosen = [max(stage, key=lambda end: (end.whole and end.holds, end.whole, end.place)) for stage in stages]
    else:
        chosen = [end for end in ends if end.whole and end.holds] or ends
    return tuple(end.layer for end in sorted(chosen, key=lambda end: end.place)[-most:])


@dataclass(frozen=True)
class _End:
    """The end of a module through which all of the image passes.

    ``holds``: the module holds others with parameters. ``whole``: no block around it goes on.
    """

    layer: Layer
    place: int
    holds: bool
    whole: bool


def _ends(walk: Walk) -> Iterator[_End]:
    for place, node in enumerate(walk.cuts):
        ended, layout = graph.modules_ended_by(walk.graph, node), _layout(walk, node)
        if not ended or layout is None:
            continue
        around = [walk.model.get_submodule(path) for path in graph.modules_around(node) if path and path not in ended]
        whole = all(isinstance(module, (nn.Sequential, nn.ModuleList)) for module in around)
        holds = any(True for child in walk.model.get_submodule(ended[0]).children() for _ in child.parameters())
        yield _End(Layer(ended[0], node.name, layout), place, holds, whole)


def _own(walk: Walk, split: TorchSplit) -> fx.Node:
    """The node of the layer that the network is cut at."""
    return graph.find(walk.graph, split.layer, split.name)


def _walk(split: TorchSplit, noise: Tensor) -> Walk | None:
    features = split.features_graph
    if not isinstance(features, fx.GraphModule):
        return None
    with torch.no_grad():
        return Walk.of(split.model, features.graph, noise)


def _layout(walk: Walk, node: fx.Node) -> Layout | None:
    shape = walk.shapes.get(node, ())
    return layout_of(shape, walk.size, walk.grids_before(node)) if shape and shape[0] == len(walk.x) else None
