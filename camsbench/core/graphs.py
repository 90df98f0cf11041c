"""Graphs made of a head's graph: they share its modules, and are tried on weights that hide nothing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

TOLERANCE = 1e-5  # of the largest value: what other shapes of the same products round otherwise


def sharing(head: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    """``graph`` on the modules and weights of ``head``: whatever changes there, or is replaced, changes here."""
    made = fx.GraphModule(head, graph)
    made._parameters, made._buffers, made._modules = head._parameters, head._buffers, head._modules
    return made.eval()


def copied(graph: fx.Graph) -> fx.Graph:
    """The same nodes in a graph of their own."""
    made = fx.Graph()
    made.output(made.graph_copy(graph, {}))
    return made


def drop_unused(graph: fx.Graph) -> None:
    """Drop the nodes that nobody uses, but for the inputs."""
    graph.eliminate_dead_code(is_impure_node=lambda n: n.op in {"placeholder", "output"})


def tried(head: fx.GraphModule) -> fx.GraphModule:
    """A copy of ``head`` with random weights, on the host: an accelerator may round more than ``TOLERANCE``.

    What agrees there agrees for any weights. With the head's own it may not: untrained classifiers of zeros, and
    branches that a layer scale of 1e-5 all but mutes, agree with anything.
    """
    made = copy.deepcopy(head).cpu()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():
            noise = torch.randn(weight.shape, generator=generator)
            weight.copy_(noise / weight[0].numel() ** 0.5 if weight.ndim > 1 else 1 + noise / 4)
    return made


def noise_like(parts: Sequence[Tensor], images: int) -> tuple[Tensor, ...]:
    """Noise [images,...] of the shapes of ``parts`` [B,...], on the host."""
    generator = torch.Generator().manual_seed(images)
    return tuple(torch.randn(images, *part.shape[1:], generator=generator).to(part.dtype) for part in parts)


def agrees(got: object, expected: object) -> bool:
    """Whether two tensors are the same up to rounding."""
    if not isinstance(got, Tensor) or not isinstance(expected, Tensor) or got.shape != expected.shape:
        return False
    return bool((got - expected).abs().max() <= TOLERANCE * expected.abs().max())


def is_attention(head: nn.Module, node: fx.Node) -> bool:
    """Whether a node is an attention in one step: PyTorch's fused one, or its ``MultiheadAttention``."""
    if node.op == "call_module":
        return type(head.get_submodule(str(node.target))) is nn.MultiheadAttention
    return node.target is F.scaled_dot_product_attention


def argument(node: fx.Node, place: int, name: str) -> Any:
    """An argument of a call by its place or its name; None where it is not given."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name)
