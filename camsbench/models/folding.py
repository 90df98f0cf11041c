"""BatchNorm folded into the convolution or linear layer before it: the same function in fewer steps.

In evaluation mode a BatchNorm multiplies each channel by γ/√(σ²+ε) and adds a constant, which the weights before it can
do as well. Results agree up to rounding.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from torch import Tensor, fx, nn

NORMS = {nn.BatchNorm1d, nn.BatchNorm2d, BatchNormAct2d}
WEIGHTED = {nn.Conv2d, Conv2dSame, nn.Linear}  # not their subclasses, which may change the weight on its way

Source = tuple[Tensor, int]
"""A tensor and its version, which every write to it raises."""


@dataclass(frozen=True)
class Pair:
    """A weighted layer, the BatchNorm behind it, and the layer that does the work of both."""

    layer: nn.Module
    norm: nn.Module
    both: nn.Module

    def sources(self) -> list[Source]:
        """What ``both`` is made of."""
        stores = (self.layer._parameters, self.norm._parameters, self.norm._buffers)  # quicker than attributes
        return [(t, t._version) for store in stores for t in store.values() if t is not None]

    @torch.no_grad()
    def fold(self) -> None:
        """Make the weights of ``both``."""
        layer, norm = cast(Any, self.layer), cast(Any, self.norm)
        # PyTorch's fuse_conv_bn_weights multiplies in another order: what that rounds otherwise turns the ranks of
        # nearly equal pixels, and moves a deletion by up to 0.004
        scale = (norm.running_var + norm.eps).rsqrt()
        scale = scale if norm.weight is None else scale * norm.weight
        shift = (-norm.running_mean if layer.bias is None else layer.bias - norm.running_mean) * scale
        weight = layer.weight * scale.view(-1, *[1] * (layer.weight.ndim - 1))
        bias = shift if norm.bias is None else shift + norm.bias
        for name, value in (("weight", weight), ("bias", bias)):
            self.both.register_parameter(name, nn.Parameter(value.detach(), requires_grad=False))


@dataclass
class Folding:
    """A graph whose BatchNorms are folded, and what that was made of."""

    module: fx.GraphModule
    pairs: list[Pair]
    made_of: list[Source] = field(default_factory=list)

    def refresh(self) -> None:
        """Fold again where a weight has been replaced, or written to, since."""
        now = [source for pair in self.pairs for source in pair.sources()]
        same = len(now) == len(self.made_of) and all(
            a is b and version == known for (a, version), (b, known) in zip(now, self.made_of, strict=True)
        )
        if not same:
            for pair in self.pairs:
                pair.fold()
            self.made_of = now


_known: WeakKeyDictionary[nn.Module, Folding] = WeakKeyDictionary()


@torch.inference_mode(mode=False)
def fold_norms(part: nn.Module) -> nn.Module:
    """``part`` with each BatchNorm behind a weighted layer folded away; itself where it is no traced graph.

    Made once a graph, and made again when its weights change. It holds a second copy of the folded layers' weights.
    """
    if part.training or not isinstance(part, fx.GraphModule):
        return part
    known = _known.get(part)
    if known is None:
        known = _known[part] = _fold(part)
    if not known.pairs:
        return part
    known.refresh()
    return known.module


def _fold(part: fx.GraphModule) -> Folding:
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    result = graph.graph_copy(part.graph, copies)
    graph.output(result)
    own: dict[str, nn.Module] = {}
    pairs: list[Pair] = []
    for node in list(graph.nodes):
        pair = _pair(part, node)
        if pair is None:
            continue
        name = f"folded_{len(pairs)}"
        pairs.append(pair)
        own[name] = pair.both
        before = node.all_input_nodes[0]
        with graph.inserting_before(node):
            new = graph.call_module(name, before.args, before.kwargs)
            for step in ("drop", "act") if isinstance(pair.norm, BatchNormAct2d) else ():
                new = graph.call_module(f"{node.target}.{step}", (new,))
        node.replace_all_uses_with(new)
        graph.erase_node(node)
        graph.erase_node(before)
    modules: dict[str, object] = dict(own)
    for node in graph.nodes:
        if node.op == "call_module" and node.target not in own:
            modules[node.target] = part.get_submodule(node.target)
        elif node.op == "get_attr":
            owner, _, leaf = node.target.rpartition(".")
            modules[node.target] = getattr(part.get_submodule(owner), leaf)
    module = fx.GraphModule(modules, graph).eval()
    # a weight that the graph itself reads is read where ``part`` has it, which follows when it is replaced there
    module._parameters, module._buffers = part._parameters, part._buffers
    module._modules = {**part._modules, **own}
    return Folding(module, pairs)


def _pair(part: fx.GraphModule, node: fx.Node) -> Pair | None:
    """The layer before a BatchNorm and the BatchNorm, where nobody else reads the layer's output."""
    norm = _module(part, node)
    if type(norm) not in NORMS or norm.training or norm.running_mean is None:
        return None
    before = node.args[0]
    if not isinstance(before, fx.Node) or len(before.users) > 1 or type(_module(part, before)) not in WEIGHTED:
        return None
    layer = _module(part, before)
    both = copy.copy(layer)  # its parameters are registered anew
    both._parameters = {}
    return Pair(layer, norm, both.eval())


def _module(part: fx.GraphModule, node: fx.Node) -> nn.Module:
    return part.get_submodule(str(node.target)) if node.op == "call_module" else part
