"""A split whose parts are exported graphs: forward passes only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from camsbench.core.passes import MicroBatch, Passes, PassOptions
from camsbench.core.preprocess import Preprocess
from camsbench.core.targets import SoftmaxClass, Target, refuse_shape
from camsbench.models.layout import Layout
from camsbench.models.split import TorchSplit

Graph = Callable[[Tensor], Tensor]  # float32 [B,...] -> [B,...], any B, on the processor


def pack(parts: tuple[Tensor, ...] | Tensor) -> Tensor:
    """The one part as it is, several in one row [B,...] an image."""
    several = (parts,) if isinstance(parts, Tensor) else parts
    return several[0].contiguous() if len(several) == 1 else torch.cat([part.flatten(1) for part in several], 1)


def unpack(packed: Tensor, shapes: tuple[torch.Size, ...]) -> tuple[Tensor, ...]:
    """What ``pack`` packed."""
    rows = packed.split([shape.numel() for shape in shapes], 1)
    return tuple(row.unflatten(1, shape) for row, shape in zip(rows, shapes, strict=True))


class Compile(Protocol):
    """Makes a graph of a file, which calculates in float32 or, where the backend and the processor can, lower."""

    def __call__(self, path: Path, dtype: torch.dtype = torch.float32) -> Graph: ...


@dataclass(frozen=True)
class ExportedSplit:
    """A classifier cut at ``layer`` (``camsbench.core.types.Split``) that runs without PyTorch: without gradients."""

    name: str
    layer: str
    features_graph: Graph
    head_graph: Graph
    whole_graph: Graph
    output_shape: tuple[int, ...]  # of one image's outputs
    preprocess: Preprocess
    micro_batch: MicroBatch
    weight_hash: str
    traced_head: nn.Module | None = None  # PyTorch's, for closed forms
    asked: Target = field(default_factory=SoftmaxClass)
    options: PassOptions = field(default_factory=PassOptions)
    passes: Passes = field(default_factory=Passes, repr=False, compare=False)
    class_names: tuple[str, ...] = ()
    shapes: tuple[torch.Size, ...] = ()  # of one image's parts, where several are packed in one row
    layout: Layout | None = None  # of the layer's own output; a file of ONNX has maps
    copies_graph: Graph | None = None  # the whole network in another precision, for perturbed copies
    provides: ClassVar[frozenset[str]] = frozenset()
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def plain(self) -> ExportedSplit:
        return replace(self, options=replace(self.options, short_cuts=False))

    def asking(self, asked: Target) -> ExportedSplit:
        """The same network, asked something else of the same outputs.

        Raises:
            CamsbenchError: they cannot be asked that.
        """
        refuse_shape(asked, self.output_shape, self.name)
        named = asked.indices(self.output_shape[0]) == len(self.class_names)
        return replace(self, asked=asked, class_names=self.class_names if named else ())

    def with_names(self, names: tuple[str, ...]) -> ExportedSplit:
        """The same network, whose classes have these names."""
        return replace(self, class_names=names)

    @property
    def num_classes(self) -> int:
        """The classes, or labels, that may be explained."""
        return self.asked.indices(self.output_shape[0])

    @property
    def for_copies(self) -> ExportedSplit:
        return self if self.copies_graph is None else replace(self, whole_graph=self.copies_graph, copies_graph=None)

    @classmethod
    def of(
        cls,
        split: TorchSplit,
        features: Graph,
        head: Graph,
        whole: Graph,
        copies: Graph | None = None,
        shapes: tuple[torch.Size, ...] = (),
    ) -> ExportedSplit:
        """The exported twin of ``split``, whose graphs pack parts of ``shapes`` where there are several."""
        return cls(
            name=split.name,
            layer=split.layer,
            features_graph=features,
            head_graph=head,
            whole_graph=whole,
            output_shape=split.output_shape,
            preprocess=split.preprocess,
            micro_batch=split.micro_batch,
            weight_hash=split.weight_hash,
            traced_head=split.traced_head,
            asked=split.asked,
            options=split.options,
            passes=split.passes,
            class_names=split.class_names,
            copies_graph=copies,
            layout=split.layout,
            shapes=shapes if len(shapes) > 1 else (),
        )

    def features(self, x: Tensor) -> Tensor:
        return self.parts(x)[0]

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        out = self._pass("features", self.features_graph, x)
        return unpack(out, self.shapes) if self.shapes else (out,)

    def head(self, A: Tensor, *beside: Tensor) -> Tensor:
        return self._pass("head", self.head_graph, pack((A, *beside)))

    def logits(self, x: Tensor) -> Tensor:
        return self._pass("network", self.whole_graph, x)

    def _pass(self, name: str, part: Graph, inputs: Tensor) -> Tensor:
        return self.passes.count(name, part(inputs), len(inputs))
