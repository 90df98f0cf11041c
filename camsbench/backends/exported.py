"""A split whose parts are exported graphs: forward passes only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from camsbench.microbatch import MicroBatch
from camsbench.preprocess import Preprocess
from camsbench.split import TorchSplit

Graph = Callable[[Tensor], Tensor]  # float32 [B,...] -> [B,...], any B, on the processor
Watcher = Callable[[str, int], None]  # told the part and the images of each pass
Compile = Callable[[Path], Graph]


@dataclass(frozen=True)
class ExportedSplit:
    """A classifier cut at ``layer`` (see ``camsbench.types.Split``) that runs without PyTorch, so without gradients."""

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
    watchers: list[Watcher] = field(default_factory=list, compare=False, repr=False)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def for_copies(self) -> ExportedSplit:
        return self

    @classmethod
    def of(cls, split: TorchSplit, features: Graph, head: Graph, whole: Graph) -> ExportedSplit:
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
