"""Surgery on a traced network: find a layer's node, take the part before it and the part behind it."""

from __future__ import annotations

import copy
import difflib
import operator

import torch
import torch.fx
from timm.layers import get_notrace_modules
from torch import Tensor, nn

from camsbench.errors import CamsbenchError

IN_PLACE_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}

PROGRAM = "camsbench_program"  # of a graph's meta: it is one of operators, complete as it is
TOKENS = "camsbench_tokens"  # of a node's meta: ``last_feature_map`` saw it give [B,N,K]


class _Tracer(torch.fx.Tracer):
    def __init__(self) -> None:
        super().__init__()
        self.leaves = set(get_notrace_modules())  # timm modules whose control flow depends on the input

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in self.leaves or super().is_leaf_module(m, module_qualified_name)


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


def _modules_around(node: torch.fx.Node) -> list[str]:
    """Names of the modules whose code made this node, outermost first."""
    return [path for path, _ in node.meta.get("nn_module_stack", {}).values()]


def layer_name(node: torch.fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def find(graph: torch.fx.Graph, layer: str, name: str) -> torch.fx.Node:
    made = [n for n in graph.nodes if n.op in {"call_module", "call_function", "call_method"}]
    found = [n for n in made if layer in _modules_around(n) or n.name == layer]
    if found:
        return found[-1]
    known = sorted({path for n in made for path in _modules_around(n)})
    near = difflib.get_close_matches(layer, known, 5, 0.4) or known[-5:]
    raise CamsbenchError(f"{name} has no layer '{layer}': try model.layer= one of {', '.join(near)}")


def last_feature_map(model: nn.Module, graph: torch.fx.Graph, x: Tensor, name: str) -> torch.fx.Node:
    """The last node whose output is [B,K,h,w] with h·w > 1.

    Raises:
        CamsbenchError: there is none, or what lies behind it works on tokens [B,N,K].
    """
    watch = _Watch(torch.fx.GraphModule(model, graph), len(x))
    with torch.no_grad():
        watch.run(x)
    if watch.last is None:
        raise CamsbenchError(f"{name} has no feature map [B,K,h,w]: choose a convolutional classifier")
    if watch.tokens is not None:
        raise CamsbenchError(_on_tokens(name, watch.tokens))
    return watch.last


def _on_tokens(name: str, node: torch.fx.Node) -> str:
    return (
        f"{name} works on tokens behind its last feature map ('{layer_name(node)}'): token layouts are not supported "
        "yet, choose a convolutional layer with model.layer="
    )


class _Watch(torch.fx.Interpreter):
    """Passes images: ``last`` is the last feature map, ``tokens`` the first weighted step on tokens behind it."""

    def __init__(self, module: torch.fx.GraphModule, images: int) -> None:
        super().__init__(module)
        self.images = images
        self.last: torch.fx.Node | None = None
        self.tokens: torch.fx.Node | None = None

    def run_node(self, n: torch.fx.Node) -> object:
        given = [self.env[source] for source in n.all_input_nodes]
        out = super().run_node(n)
        if not n.op.startswith("call_"):
            return out
        if isinstance(out, Tensor) and out.ndim == 3:
            n.meta[TOKENS] = True
        if isinstance(out, Tensor) and out.ndim == 4 and out.shape[0] == self.images:
            pooled = out.shape[2] * out.shape[3] == 1 or out.shape[1] * out.shape[2] == 1  # channels first or last
            if not pooled:
                self.last, self.tokens = n, None
        if self.tokens is None and self._weighted(n, given) and any(map(self._are_tokens, given)):
            self.tokens = n
        return out

    def _are_tokens(self, given: object) -> bool:
        """Whether they are [B,N,K], and not one pooled vector an image, as [B,1,K] or [B,K,1]."""
        if not isinstance(given, Tensor) or isinstance(given, nn.Parameter) or given.ndim != 3:
            return False
        return given.shape[0] == self.images and given.shape[1] > 1 and given.shape[2] > 1

    def _weighted(self, n: torch.fx.Node, given: list[object]) -> bool:
        if n.op == "call_module":
            return any(True for _ in self.fetch_attr(str(n.target)).parameters())
        return any(isinstance(each, nn.Parameter) for each in given)


def _ancestors(node: torch.fx.Node) -> set[torch.fx.Node]:
    seen: set[torch.fx.Node] = set()
    todo = [node]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(current.all_input_nodes)
    return seen


def features_of(model: nn.Module, graph: torch.fx.Graph, node: torch.fx.Node) -> nn.Module:
    """The part of the graph up to ``node``, which never writes into its input."""
    wanted = _ancestors(node)
    part = torch.fx.Graph()
    copies: dict[torch.fx.Node, torch.fx.Node] = {}
    for n in graph.nodes:
        if n in wanted or n.op == "placeholder":
            copies[n] = part.node_copy(n, copies.__getitem__)
    part.output(copies[node])
    module = torch.fx.GraphModule(model, part)
    image = next(n for n in part.nodes if n.op == "placeholder")
    return _out_of_place(module, list(image.users))


def head_of(model: nn.Module, graph: torch.fx.Graph, node: torch.fx.Node, name: str, layer: str) -> nn.Module:
    """The part of the graph behind ``node``, which never writes into its input."""
    before = _ancestors(node)
    output = next(n for n in graph.nodes if n.op == "output")
    wanted = _ancestors(output) - before
    part = torch.fx.Graph()
    copies = {node: part.placeholder("A")}
    for n in graph.nodes:
        if n not in wanted or n is output:
            continue
        for source in n.all_input_nodes:
            if source in copies:
                continue
            if source.meta.get(TOKENS):
                raise CamsbenchError(_on_tokens(name, n))
            if source.op != "get_attr":
                raise CamsbenchError(
                    f"{name} at layer '{layer}' cannot be cut: '{source.name}', made before the layer, is used again "
                    f"by '{n.name}' behind it (a skip connection); choose the end of a convolutional block with "
                    "model.layer="
                )
            copies[source] = part.node_copy(source, copies.__getitem__)
        copies[n] = part.node_copy(n, copies.__getitem__)
    result = output.args[0]
    if not isinstance(result, torch.fx.Node):
        raise CamsbenchError(f"{name} returns {type(result).__name__}, not logits [B,C]: wrap it so that it does")
    part.output(copies[result])
    module = torch.fx.GraphModule(model, part)
    return _out_of_place(module, list(part.nodes))


def _out_of_place(module: torch.fx.GraphModule, nodes: list[torch.fx.Node]) -> nn.Module:
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
