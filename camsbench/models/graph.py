"""A traced network: how it is traced, which node a layer's name means, and what a layer is called."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.fx
from timm.layers import get_notrace_functions, get_notrace_modules
from torch import nn

from camsbench.errors import CamsbenchError

PROGRAM = "camsbench_program"  # of a graph's meta: it is one of operators, complete as it is


class _Tracer(torch.fx.Tracer):
    """As torch.fx's, for a network that is given images alone: its other arguments have their defaults."""

    def __init__(self) -> None:
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))
        self.leaves = set(get_notrace_modules())  # timm modules whose control flow depends on the input

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in self.leaves or super().is_leaf_module(m, module_qualified_name)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        if is_module and _takes_defaults(root_fn):
            return super().create_args_for_root(lambda self, x: root_fn(self, x), is_module, concrete_args)
        return super().create_args_for_root(root_fn, is_module, concrete_args)


def _takes_defaults(forward: Callable[..., Any]) -> bool:
    """Whether ``forward(self, images, ...)`` has arguments behind the images, all with defaults."""
    own = list(inspect.signature(forward).parameters.values())[2:]
    return bool(own) and all(p.default is not p.empty for p in own)


def trace(model: nn.Module, name: str) -> torch.fx.Graph:
    if isinstance(model, torch.fx.GraphModule) and PROGRAM in model.meta:
        return model.graph
    try:
        return _Tracer().trace(model)
    except Exception as error:  # torch.fx raises whatever the model's own code raises on a proxy
        raise CamsbenchError(
            f"{name} cannot be traced by torch.fx, so it cannot be cut ({error}): choose a network whose control flow "
            "does not depend on its input"
        ) from error


def modules_around(node: torch.fx.Node) -> list[str]:
    """Names of the modules whose code made this node, outermost first."""
    return [path for path, _ in node.meta.get("nn_module_stack", {}).values()]


def layer_name(node: torch.fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def find(graph: torch.fx.Graph, layer: str, name: str) -> torch.fx.Node:
    made = [n for n in graph.nodes if n.op in {"call_module", "call_function", "call_method"}]
    found = [n for n in made if layer in modules_around(n) or n.name == layer]
    if found:
        return found[-1]
    known = sorted({path for n in made for path in modules_around(n)})
    near = difflib.get_close_matches(layer, known, 5, 0.4) or known[-5:]
    raise CamsbenchError(f"{name} has no layer '{layer}': try model.layer= one of {', '.join(near)}")


def modules_ended_by(graph: torch.fx.Graph, node: torch.fx.Node) -> list[str]:
    """The modules whose code ends with ``node`` the last time that they are called, outermost first."""
    return [path for path in modules_around(node) if path and find(graph, path, "") is node]
