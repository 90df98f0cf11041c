"""Cut a classifier in two at a named layer, by its traced graph: no hooks, nothing of the model changed."""

from __future__ import annotations

import copy
import difflib
import operator
from dataclasses import dataclass

import torch
import torch.fx
from timm.layers import get_notrace_modules
from torch import Tensor, nn

from camsbench.errors import CamsbenchError
from camsbench.preprocess import Preprocess
from camsbench.scoring import MicroBatch

IN_PLACE_OPERATORS = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


@dataclass(frozen=True)
class TorchSplit:
    """A PyTorch classifier cut at ``layer`` (see ``camsbench.types.Split``); ``model`` is the uncut module."""

    name: str
    layer: str
    model: nn.Module
    features_graph: nn.Module
    head_graph: nn.Module
    num_classes: int
    preprocess: Preprocess
    micro_batch: MicroBatch
    provides: frozenset[str] = frozenset({"gradient", "modules"})

    def features(self, x: Tensor) -> Tensor:
        return self.features_graph(x.contiguous(memory_format=torch.channels_last))

    def head(self, A: Tensor) -> Tensor:
        return self.head_graph(A)

    def logits(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def cut(
    model: nn.Module,
    layer: str | None,
    preprocess: Preprocess,
    *,
    name: str = "model",
    micro_batch: MicroBatch | None = None,
) -> TorchSplit:
    """Cut ``model`` behind ``layer`` into features and head, and prove that they recompose.

    Args:
        model: a classifier [B,3,H,W] -> [B,C] in evaluation mode that torch.fx can trace.
        layer: a module's name (its last call counts) or a graph node's name; None takes the last feature map that is
            larger than 1×1.
        preprocess: what the network expects of a picture; its ``crop`` is the size of the test input.

    Raises:
        CamsbenchError: the model is in training mode or cannot be traced, has no such layer, gives no feature map
            [B,K,h,w] there, carries a skip connection across the cut, or its parts do not recompose.
    """
    if model.training:
        raise CamsbenchError(f"{name} is in training mode: call model.eval() before cutting it")
    graph = _trace(model, name)
    x = _test_input(model, preprocess.crop)
    node = _last_feature_map(model, graph, x, name) if layer is None else _find(graph, layer, name)
    layer = layer or _layer_name(node)
    features = _features(model, graph, node)
    head = _head(model, graph, node, f"{name} at layer '{layer}'")
    with torch.no_grad():
        whole, A = model(x), features(x)
        if not isinstance(A, Tensor) or A.ndim != 4:
            shape = list(A.shape) if isinstance(A, Tensor) else type(A).__name__
            raise CamsbenchError(
                f"{name} at layer '{layer}' gives {shape}, no feature map [B,K,h,w]: "
                "token layouts are not supported, choose a convolutional layer with model.layer="
            )
        logits = head(A)
    if not torch.allclose(logits, whole, rtol=1e-4, atol=1e-5, equal_nan=True):
        raise CamsbenchError(
            f"{name} cut at layer '{layer}' does not recompose (largest difference "
            f"{(logits - whole).abs().max():.2g}): choose another model.layer"
        )
    device = x.device
    return TorchSplit(
        name=name,
        layer=layer,
        model=model,
        features_graph=features,
        head_graph=head,
        num_classes=logits.shape[1],
        preprocess=preprocess,
        micro_batch=micro_batch or MicroBatch.of("auto", device),
    )


class _Tracer(torch.fx.Tracer):
    def __init__(self) -> None:
        super().__init__()
        self.leaves = set(get_notrace_modules())  # timm modules whose control flow depends on the input

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return type(m) in self.leaves or super().is_leaf_module(m, module_qualified_name)


def _trace(model: nn.Module, name: str) -> torch.fx.Graph:
    try:
        return _Tracer().trace(model)
    except Exception as error:  # torch.fx raises whatever the model's own code raises on a proxy
        raise CamsbenchError(f"{name} cannot be traced by torch.fx, so it cannot be cut: {error}") from error


def _test_input(model: nn.Module, side: int) -> Tensor:
    """Two images of noise, on the model's device."""
    weight = next(model.parameters())
    noise = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    return noise.to(weight.device, weight.dtype).contiguous(memory_format=torch.channels_last)


def _modules_around(node: torch.fx.Node) -> list[str]:
    """Names of the modules whose code made this node, outermost first."""
    return [path for path, _ in node.meta.get("nn_module_stack", {}).values()]


def _layer_name(node: torch.fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _find(graph: torch.fx.Graph, layer: str, name: str) -> torch.fx.Node:
    made = [n for n in graph.nodes if n.op in {"call_module", "call_function", "call_method"}]
    found = [n for n in made if layer in _modules_around(n) or n.name == layer]
    if found:
        return found[-1]
    known = sorted({path for n in made for path in _modules_around(n)})
    near = difflib.get_close_matches(layer, known, 5, 0.4) or known[-5:]
    raise CamsbenchError(f"{name} has no layer '{layer}': try model.layer= one of {', '.join(near)}")


def _last_feature_map(model: nn.Module, graph: torch.fx.Graph, x: Tensor, name: str) -> torch.fx.Node:
    """The last node whose output is [B,K,h,w] with h·w > 1."""
    last: list[torch.fx.Node] = []

    class Watch(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> object:
            out = super().run_node(n)
            made = n.op.startswith("call_") and isinstance(out, Tensor)
            if made and out.ndim == 4 and out.shape[0] == len(x) and out.shape[2] * out.shape[3] > 1:
                last[:] = [n]
            return out

    with torch.no_grad():
        Watch(torch.fx.GraphModule(model, graph)).run(x)
    if not last:
        raise CamsbenchError(f"{name} has no feature map [B,K,h,w]: only convolutional classifiers can be explained")
    return last[0]


def _ancestors(node: torch.fx.Node) -> set[torch.fx.Node]:
    seen: set[torch.fx.Node] = set()
    todo = [node]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo.extend(current.all_input_nodes)
    return seen


def _features(model: nn.Module, graph: torch.fx.Graph, node: torch.fx.Node) -> nn.Module:
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


def _head(model: nn.Module, graph: torch.fx.Graph, node: torch.fx.Node, where: str) -> nn.Module:
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
            if source.op != "get_attr":
                raise CamsbenchError(
                    f"{where} cannot be cut: '{source.name}', made before the layer, is used again by '{n.name}' "
                    "behind it (a skip connection); choose the end of a block with model.layer="
                )
            copies[source] = part.node_copy(source, copies.__getitem__)
        copies[n] = part.node_copy(n, copies.__getitem__)
    result = output.args[0]
    if not isinstance(result, torch.fx.Node):
        raise CamsbenchError(f"{where} returns {type(result).__name__}, not logits [B,C]")
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
