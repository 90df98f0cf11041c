"""A split whose parts are exported graphs: forward passes only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from camsbench.core.microbatch import MicroBatch
from camsbench.core.preprocess import Preprocess
from camsbench.models.split import TorchSplit

Graph = Callable[[Tensor], Tensor]  # float32 [B,...] -> [B,...], any B, on the processor
Watcher = Callable[[str, int], None]  # told the part and the images of each pass


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
    num_classes: int
    preprocess: Preprocess
    micro_batch: MicroBatch
    weight_hash: str
    provides: frozenset[str] = frozenset()
    memory_format: torch.memory_format = torch.contiguous_format
    traced_head: nn.Module | None = None  # PyTorch's, for closed forms
    repack: bool = True
    copies_graph: Graph | None = None  # the whole network in another precision, for perturbed copies
    watchers: list[Watcher] = field(default_factory=list, compare=False, repr=False)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def for_copies(self) -> ExportedSplit:
        return self if self.copies_graph is None else replace(self, whole_graph=self.copies_graph, copies_graph=None)

    @classmethod
    def of(
        cls, split: TorchSplit, features: Graph, head: Graph, whole: Graph, copies: Graph | None = None
    ) -> ExportedSplit:
        """The exported twin of ``split``."""
        return cls(
            name=split.name,
            layer=split.layer,
            features_graph=features,
            head_graph=head,
            whole_graph=whole,
            num_classes=split.num_classes,
            preprocess=split.preprocess,
            micro_batch=split.micro_batch,
            weight_hash=split.weight_hash,
            traced_head=split.traced_head,
            repack=split.repack,
            copies_graph=copies,
        )

    def features(self, x: Tensor) -> Tensor:
        return self._told("features", self.features_graph(x))

    def head(self, A: Tensor) -> Tensor:
        return self._told("head", self.head_graph(A))

    def logits(self, x: Tensor) -> Tensor:
        return self._told("model", self.whole_graph(x))

    def _told(self, part: str, out: Tensor) -> Tensor:
        for watcher in self.watchers:
            watcher(part, len(out))
        return out
