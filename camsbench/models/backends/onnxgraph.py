"""Surgery on an ONNX graph: find where it can be cut, and take the part between two of its tensors."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import onnx
from onnx import helper

from camsbench.errors import CamsbenchError

FLOAT = onnx.TensorProto.FLOAT
SQUASHING = {"Softmax", "LogSoftmax", "Sigmoid", "HardSigmoid"}
SHAPING = {"Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Dropout", "Cast"}
WEIGHTED = {"MatMul", "Gemm", "Conv", "Attention"}
Shape = tuple[int | None, ...]  # None: unknown, or any number


class OnnxGraph:
    """A model of ONNX, by its tensors' names: which node makes each, and of what.

    Args:
        model: as ``onnx.load`` gives it.
        what: the option that names its file, for the sentences.
    """

    def __init__(self, model: onnx.ModelProto, what: str) -> None:
        self.model, self.what = model, what
        self.constants = {each.name for each in model.graph.initializer}
        self.constants |= {each.values.name for each in model.graph.sparse_initializer}
        self.maker = {name: node for node in model.graph.node for name in node.output if name}

    @property
    def inputs(self) -> list[Any]:
        """The model's inputs that are no constants, as ``ValueInfoProto``."""
        return [each for each in self.model.graph.input if each.name not in self.constants]

    def behind(self, output: str, start: str | None = None) -> list[Any]:
        """The nodes that ``output`` is made by, behind the tensor ``start``, in their order.

        Where one counts the images of a tensor from before ``start``, it counts those of ``start`` in its place.
        """
        wanted: dict[str, Any] = {}
        later = self._depends(start) if start is not None else set()
        todo = [output]
        while todo:
            node = self.maker.get(name := todo.pop())
            if name == start or node is None or node.output[0] in wanted:
                continue
            if start is not None and _counts_images(node) and node.input[0] not in later:
                node = helper.make_node("Shape", [start], node.output, node.name, start=0, end=1)
            wanted[node.output[0]] = node
            todo += _reads(node)
        return [wanted[node.output[0]] for node in self.model.graph.node if node.output[0] in wanted]

    def crosses(self, tensor: str, output: str, image: str) -> str | None:
        """The node that reads the image on its way to ``output`` past ``tensor``; None where none does."""
        reading = (node for node in self.behind(output, tensor) if image in _reads(node))
        return next((str(node.name or node.output[0]) for node in reading), None)

    def tensor(self, layer: str) -> str:
        """The tensor that a layer names: itself, or a node's first output.

        Raises:
            CamsbenchError: there is no such layer.
        """
        if layer in self.maker:
            return layer
        nodes = {node.name: str(node.output[0]) for node in self.model.graph.node if node.name}
        if layer in nodes:
            return nodes[layer]
        near = difflib.get_close_matches(layer, [*nodes, *self.maker], 5, 0.4) or list(nodes or self.maker)[-5:]
        raise CamsbenchError(
            f"{self.what}: there is no node or tensor '{layer}': try model.layer= one of {', '.join(near)}"
        )

    def last_feature_map(self, output: str, image: str, shape: Sequence[int]) -> str:
        """The last tensor [B,K,h,w] with h·w > 1 through which all of the image passes on its way to ``output``.

        Args:
            shape: channels, height and width of the images.

        Raises:
            CamsbenchError: there is none, or what lies behind it works on tokens [B,N,K].
        """
        shapes = self.shapes(image, shape)
        depends = self._depends(image)
        for node in reversed(self.behind(output)):
            for name in node.output:
                found = shapes.get(name, ())
                if _is_map(found) and name in depends and self.crosses(name, output, image) is None:
                    self._refuse_tokens(name, output, shapes, depends)
                    return str(name)
        raise CamsbenchError(
            f"{self.what}: no feature map [B,K,h,w] was found at which it can be cut: name a node or tensor with "
            "model.layer="
        )

    def _refuse_tokens(self, layer: str, output: str, shapes: dict[str, Shape], depends: set[str]) -> None:
        for node in self.behind(output, layer):
            for name in node.input if node.op_type in WEIGHTED else ():
                found = shapes.get(name, ())
                if name in depends and len(found) == 3 and 1 not in found[1:]:
                    raise CamsbenchError(
                        f"{self.what} works on tokens behind its last feature map ('{layer}'): token layouts are not "
                        "supported yet, choose a convolutional layer with model.layer="
                    )

    def shapes(self, image: str, shape: Sequence[int]) -> dict[str, Shape]:
        """What is known of the tensors' shapes for images [B, *``shape``]."""
        whole = self.part(image, [each.name for each in self.model.graph.output], ["batch", *shape])
        inferred = onnx.shape_inference.infer_shapes(whole, data_prop=True).graph
        return {each.name: dims(each) for each in (*inferred.value_info, *inferred.output)}

    def _depends(self, image: str) -> set[str]:
        """The tensors that are made of the image."""
        found = {image}
        for node in self.model.graph.node:
            if not found.isdisjoint(_reads(node)):
                found.update(node.output)
        return found

    def squashed(self, output: str) -> Any | None:
        """The node of a softmax or sigmoid behind which ``output`` lies; None for logits."""
        node = self.maker.get(output)
        while node is not None and node.op_type in SHAPING:
            node = self.maker.get(node.input[0])
        return node if node is not None and node.op_type in SQUASHING else None

    def part(self, start: str, ends: Sequence[str], shape: Sequence[int | str]) -> onnx.ModelProto:
        """The model between the tensors ``start`` (of this shape) and ``ends``, under their names."""
        wanted = {node.output[0]: node for end in ends for node in self.behind(end, start)}
        nodes = [wanted[node.output[0]] for node in self.model.graph.node if node.output[0] in wanted]
        read = {name for node in nodes for name in _reads(node)} | set(ends)
        graph = helper.make_graph(
            nodes,
            "part",
            [helper.make_tensor_value_info(start, FLOAT, list(shape))],
            [helper.make_tensor_value_info(end, FLOAT, None) for end in ends],
            initializer=[each for each in self.model.graph.initializer if each.name in read],
            sparse_initializer=[each for each in self.model.graph.sparse_initializer if each.values.name in read],
        )
        made = helper.make_model(graph, opset_imports=self.model.opset_import, functions=self.model.functions)
        made.ir_version = self.model.ir_version
        return made

    def plain_part(self, start: str, end: str, shape: Sequence[int | str]) -> onnx.ModelProto:
        """As ``part``, of an input ``x`` and an output ``y``, as backends ask."""
        made = onnx.compose.add_prefix(self.part(start, [end], shape), "part/")
        graph = made.graph
        first, last = graph.input[0].name, graph.output[0].name
        graph.node.insert(0, helper.make_node("Identity", ["x"], [first]))
        graph.node.append(helper.make_node("Identity", [last], ["y"]))
        graph.input[0].name, graph.output[0].name = "x", "y"
        return made

    @cached_property
    def outputs(self) -> list[str]:
        return [str(each.name) for each in self.model.graph.output]


def _is_map(shape: Shape) -> bool:
    """Whether this is [B,K,h,w] with h·w > 1, and no pooled vector with its channels first or last."""
    sides = [side or 0 for side in shape[1:]]
    return len(sides) == 3 and sides[1] * sides[2] > 1 and sides[0] * sides[1] > 1


def dims(value: Any) -> Shape:
    """The sides of a ``ValueInfoProto``'s tensor; () where nothing is known."""
    kind = value.type.tensor_type
    return tuple(side.dim_value if side.HasField("dim_value") else None for side in kind.shape.dim)


def _counts_images(node: Any) -> bool:
    """Whether a node gives the first length of its input alone."""
    bounds = {each.name: each.i for each in node.attribute}
    return node.op_type == "Shape" and bounds.get("start", 0) == 0 and bounds.get("end") == 1


def _reads(node: Any) -> list[str]:
    """The tensors that a node reads, those that its branches take from outside among them."""
    return [name for name in (*node.input, *_from_outside(node)) if name]


def _from_outside(node: Any) -> Iterator[str]:
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
            own = {each.name for each in (*graph.input, *graph.initializer)}
            own |= {name for inner in graph.node for name in inner.output}
            yield from (name for inner in graph.node for name in _reads(inner) if name not in own)
            yield from (each.name for each in graph.output if each.name not in own)
