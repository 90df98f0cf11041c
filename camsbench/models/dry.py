"""A network that only counts what it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.passes import MicroBatch, Passes, PassOptions, Rehearsal
from camsbench.core.preprocess import Preprocess
from camsbench.core.targets import SoftmaxClass, Target
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.split import TorchSplit


@dataclass(frozen=True)
class DrySplit:
    """A split (see ``camsbench.core.types.Split``) of a real network's shapes that counts the images it is given.

    No activation is constant and every gradient is positive, so that no exact short cut applies: the counts are upper
    bounds. ``modules`` is not provided; what asks for it is counted on the real network.
    """

    name: str
    layer: str
    num_classes: int
    preprocess: Preprocess
    channels: int
    side: tuple[int, int]  # of the activations
    class_names: tuple[str, ...] = ()
    micro_batch: MicroBatch = field(default_factory=Rehearsal)
    passes: Passes = field(default_factory=Passes, repr=False, compare=False)
    asked: ClassVar[Target] = SoftmaxClass()
    options: ClassVar[PassOptions] = PassOptions(short_cuts=False)
    provides: ClassVar[frozenset[str]] = frozenset({"gradient"})
    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def plain(self) -> DrySplit:
        return self

    @property
    def for_copies(self) -> DrySplit:
        return self

    @classmethod
    def of(cls, split: TorchSplit | ExportedSplit, A: Tensor) -> DrySplit:
        """With the shapes of ``split``, whose activations are ``A`` [B,K,h,w]."""
        side = (A.shape[2], A.shape[3])
        return cls(split.name, split.layer, split.num_classes, split.preprocess, A.shape[1], side)

    def features(self, x: Tensor) -> Tensor:
        A = self._pattern + F.adaptive_avg_pool2d(x, self.side).mean(1, keepdim=True)  # [m,K,h,w]
        return self.passes.count("features", A, len(x) * self.micro_batch.stands_for)

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        return (self.features(x),)

    def head(self, A: Tensor, *beside: Tensor) -> Tensor:
        logits = A.mean((2, 3)) @ self._weight  # a head that every method accepts, CAM too
        return self.passes.count("head", logits, len(A) * self.micro_batch.stands_for)

    def logits(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))

    @cached_property
    def _pattern(self) -> Tensor:
        return self._positive(self.channels, *self.side)

    @cached_property
    def _weight(self) -> Tensor:
        return self._positive(self.channels, self.num_classes) / self.channels

    @staticmethod
    def _positive(*shape: int) -> Tensor:
        """Numbers in [1,2), always the same."""
        return 1 + torch.rand(shape, generator=torch.Generator().manual_seed(0))
