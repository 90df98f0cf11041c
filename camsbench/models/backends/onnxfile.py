"""A network that exists only as a file of ONNX, cut for methods without gradients: ``model=onnx``."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx.external_data_helper import load_external_data_for_model, uses_external_data
from torch import Tensor

from camsbench.core.passes import MicroBatch, Passes, PassOptions
from camsbench.core.preprocess import Preprocess
from camsbench.core.targets import refuse_shape, target_of
from camsbench.errors import CamsbenchError
from camsbench.files import user_cache
from camsbench.models.backends.export import TOLERANCE, noise, readable, written
from camsbench.models.backends.exported import Compile, ExportedSplit, Graph
from camsbench.models.backends.onnxgraph import FLOAT, OnnxGraph, dims
from camsbench.models.backends.scripted import as_onnx
from camsbench.models.layout import in_proportion
from camsbench.models.names import choose_names
from camsbench.models.program import is_scripted
from camsbench.models.suitable import normalised
from camsbench.models.transforms import preprocess_of
from camsbench.models.weights import ModelSpec, layers_of

log = logging.getLogger(__name__)
LAYOUT = 1  # raise it when what is written changes


def load_file(
    compile_graph: Compile,
    file: str,
    spec: ModelSpec,
    options: PassOptions,
    micro_batch: int | str = "auto",
    transform: Mapping[str, Any] | None = None,
    cache: Path | None = None,
) -> list[ExportedSplit]:
    """The network [B,C,H,W] -> [B,classes] of ``file``, cut at each layer of ``spec``.

    A layer is a node's name (its first output counts) or a tensor's; None takes the last feature map larger than 1×1
    through which all of the image passes. What is cut out stays in ``cache``. An image's row is that of it alone: where
    the graph holds a number of images fast, they are passed one by one.

    Raises:
        CamsbenchError: the file is none, its images or outputs are others than said, it ends in a softmax or sigmoid
            (``spec.strip`` takes it off), or it cannot be cut there.
    """
    option = "model.file" if spec.source == "onnx" else "model.weights"
    preprocess = preprocess_of(f"{option}={file}", spec.transform, transform)
    original = _Original.read(Path(file).expanduser(), f"{option}={file}", preprocess, cache or user_cache())
    graph, image = original.graph, original.check_image(preprocess)
    output = _output(graph, spec, image, preprocess)
    network = _Network(original, compile_graph, image, output, preprocess)
    asked = target_of(spec.output)
    with torch.inference_mode():
        whole, outputs = network.whole()
        if outputs.ndim < 1 or len(outputs) != 3:
            raise CamsbenchError(f"{original.what} gives {list(outputs.shape)} for 3 images, not logits [B,C]")
        refuse_shape(asked, outputs.shape[1:], original.what)
        if asked.squashes and (said := normalised(outputs)):
            raise CamsbenchError(f"{original.what} ends in {said}, and that of logits is taken here: export it without")
        copies = None
        if options.copies_dtype != torch.float32:
            copies = network.rows(compile_graph(network.file(image, output), options.copies_dtype))
        passes = Passes()
        splits = []
        for layer in layers_of(spec):
            features, head, name = network.cut(layer, outputs)
            split = ExportedSplit(
                name=spec.name,
                layer=name,
                features_graph=features,
                head_graph=head,
                whole_graph=whole,
                output_shape=tuple(outputs.shape[1:]),
                preprocess=preprocess,
                micro_batch=MicroBatch.of(micro_batch, torch.device("cpu")),
                weight_hash=original.digest[:16],
                asked=asked,
                options=options,
                passes=passes,
                copies_graph=copies,
            )
            splits.append(split)
    names = choose_names(spec.classes, (), splits[0].num_classes)
    return [split.with_names(names) for split in splits]


@dataclass(frozen=True)
class _Original:
    """What was read."""

    graph: OnnxGraph
    digest: str  # SHA-256 of the file, and of the files of tensors beside it
    what: str  # the option and the file, for the sentences
    cache: Path

    @classmethod
    def read(cls, path: Path, what: str, preprocess: Preprocess, cache: Path) -> _Original:
        if not path.is_file():
            raise CamsbenchError(f"{what}: there is no file {path}")
        digest = hashlib.sha256(path.read_bytes())
        source = path
        if is_scripted(path):
            made_for = f"{'x'.join(map(str, preprocess.shape))}-torch{torch.__version__}"
            source = written(
                cache / f"{readable(path.stem)}-{digest.hexdigest()[:12]}-{made_for}" / "scripted.onnx",
                partial(as_onnx, path, preprocess, what),
            )
        try:
            model = onnx.load(source, load_external_data=False)
            for place in _beside(model):
                digest.update((source.parent / place).read_bytes())
            load_external_data_for_model(model, str(source.parent))
        except Exception as error:  # protobuf raises many kinds
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise CamsbenchError(f"{what} cannot be read as ONNX ({said})") from error
        return cls(OnnxGraph(model, what), digest.hexdigest(), what, cache)

    def check_image(self, preprocess: Preprocess) -> str:
        """The name of the only input, where it takes the images."""
        inputs = self.graph.inputs
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs) or "none"
            raise CamsbenchError(f"{self.what} has the inputs {names}: export a network that takes images alone")
        kind, sides = inputs[0].type.tensor_type, dims(inputs[0])
        if kind.elem_type != FLOAT:
            said = onnx.TensorProto.DataType.Name(kind.elem_type).lower()
            raise CamsbenchError(f"{self.what} takes images in {said}: export one that takes float32")
        if kind.HasField("shape") and len(sides) != 4:
            raise CamsbenchError(f"{self.what} takes inputs of {len(sides)} dimensions, not images [B,C,H,W]")
        sides = sides or (None,) * 4
        if any(said not in (None, side) for said, side in zip(sides[1:], preprocess.shape, strict=True)):
            takes = "x".join("any" if side is None else str(side) for side in sides[1:])
            raise CamsbenchError(
                f"{self.what} takes images of {takes} (channels, height, width), and they are "
                f"{'x'.join(map(str, preprocess.shape))}: give model.transform.crop=, and as many values of "
                "model.transform.mean= and std= as it has channels"
            )
        if sides[0] not in (None, 1):
            raise CamsbenchError(
                f"{self.what} takes batches of {sides[0]} images alone: export it for one image, or for any number "
                "(dynamic_axes, dynamic_shapes)"
            )
        return str(inputs[0].name)


def _beside(model: onnx.ModelProto) -> list[str]:
    """The files beside a model's that hold its tensors."""
    tensors = (each for each in model.graph.initializer if uses_external_data(each))
    return sorted({entry.value for each in tensors for entry in each.external_data if entry.key == "location"})


def _output(graph: OnnxGraph, spec: ModelSpec, image: str, preprocess: Preprocess) -> str:
    """The tensor of the logits."""
    name = _chosen_output(graph, spec, image, preprocess)
    squash = graph.squashed(name) if target_of(spec.output).squashes else None
    if squash is None and spec.strip:
        raise CamsbenchError(
            f"model.strip=true: {graph.what} ends in no softmax or sigmoid that could be taken off; leave it out"
        )
    if squash is None:
        return name
    if not spec.strip:
        raise CamsbenchError(
            f"{graph.what} ends in {squash.op_type.lower()}, and that of logits is taken here: model.strip=true takes "
            "the logits in front of it"
        )
    return str(squash.input[0])


def _chosen_output(graph: OnnxGraph, spec: ModelSpec, image: str, preprocess: Preprocess) -> str:
    names = graph.outputs
    if spec.output_name is not None:
        if spec.output_name not in names:
            raise CamsbenchError(f"model.output_name={spec.output_name}: {graph.what} has {', '.join(names)}")
        return spec.output_name
    if len(names) > 1:
        shapes = graph.shapes(image, preprocess.shape)
        vectors = [name for name in names if len(shapes.get(name, ())) == 2]
        if len(vectors) != 1:
            raise CamsbenchError(
                f"{graph.what} has the outputs {', '.join(names)}: say which are the logits with model.output_name="
            )
        return vectors[0]
    return names[0]


@dataclass(frozen=True)
class _Network:
    """The graph between the image and the logits, and its parts on a backend."""

    original: _Original
    compile_graph: Compile
    image: str
    output: str
    preprocess: Preprocess

    def whole(self) -> tuple[Graph, Tensor]:
        """The network, and what it gives for three images of noise."""
        graph = self.rows(self.compile_graph(self.file(self.image, self.output)), say=True)
        return graph, graph(noise(3, self.preprocess))

    def cut(self, layer: str | None, outputs: Tensor) -> tuple[Graph, Graph, str]:
        """Features, head, and the layer's name; ``outputs`` are the whole network's of ``noise(3)``."""
        graph, what = self.original.graph, self.original.what
        if layer is None:
            tensor = graph.last_feature_map(self.output, self.image, self.preprocess.shape)
            layer = str(graph.maker[tensor].name or tensor)
        tensor = graph.tensor(layer)
        crossing = graph.crosses(tensor, self.output, self.image)
        if crossing is not None:
            raise CamsbenchError(
                f"{what} at layer '{layer}' cannot be cut: '{crossing}' behind it reads the image past the layer (a "
                "skip connection); choose the end of a convolutional block with model.layer="
            )
        if not any(tensor in node.output for node in graph.behind(self.output)):
            raise CamsbenchError(f"{what} at layer '{layer}' cannot be cut: the output is not made of it")
        features = self.rows(self.compile_graph(self.file(self.image, tensor)))
        A = features(noise(3, self.preprocess))
        _check_layout(A, self.preprocess.size, what, layer)
        head = self.rows(self.compile_graph(self.file(tensor, self.output, A.shape[1:])), A)
        found, largest = head(A), float(outputs.abs().max())
        if found.shape != outputs.shape or not float((found - outputs).abs().max()) <= TOLERANCE * largest:
            raise CamsbenchError(f"{what} cut at layer '{layer}' does not recompose: choose another model.layer")
        return features, head, layer

    def file(self, start: str, end: str, shape: Sequence[int] | None = None) -> Path:
        """The part between two tensors as a file of its own, for any number of images."""
        sides = list(shape or self.preprocess.shape)
        key = "\n".join(map(str, (LAYOUT, self.original.digest, start, end, sides, version("onnx"))))
        stem = readable(Path(self.original.what.partition("=")[2]).stem)
        name = f"{stem}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        make = partial(self.original.graph.plain_part, start, end, ["batch", *sides])
        return written(self.original.cache / name / "part.onnx", lambda path: onnx.save(make(), path))

    def rows(self, graph: Graph, inputs: Tensor | None = None, say: bool = False) -> Graph:
        """``graph`` where each of three inputs has the row that it has alone; else one that passes them one by one."""
        x = noise(3, self.preprocess) if inputs is None else inputs
        try:
            alone = torch.cat([graph(one) for one in x.split(1)])
        except Exception as error:  # each runtime raises its own kinds
            said = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
            raise CamsbenchError(f"{self.original.what} cannot be passed ({said})") from error
        try:
            together = graph(x)
        except Exception:  # a number of images that the graph holds fast
            together = x.new_empty(0)
        atol = TOLERANCE * float(alone.abs().max())
        if together.shape == alone.shape and torch.allclose(together, alone, rtol=0, atol=atol, equal_nan=True):
            return graph
        if say:
            log.warning("%s holds its number of images fast: they are passed one by one", self.original.what)
        return lambda many: torch.cat([graph(one) for one in many.split(1)])


def _check_layout(A: object, size: tuple[int, int], name: str, layer: str) -> None:
    """Refuse what is no feature map [B,K,h,w] of images ``size``: tokens [B,N,K], or channels last [B,h,w,K]."""
    if isinstance(A, Tensor) and A.ndim == 4 and in_proportion(A.shape[2:], size):
        return
    shape = list(A.shape) if isinstance(A, Tensor) else type(A).__name__
    raise CamsbenchError(
        f"{name} at layer '{layer}' gives {shape}, no feature map [B,K,h,w]: "
        "in a file of ONNX, tokens and channels-last maps are not supported: choose another with model.layer="
    )
