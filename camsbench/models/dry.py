"""Networks that count what they are given: one that does nothing else, and the real one where its modules matter."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.microbatch import Rehearsal
from camsbench.core.preprocess import Preprocess
from camsbench.models.passes import Passes
from camsbench.models.split import TorchSplit


@dataclass
class Tally(Rehearsal):
    """The count of a split's passes, each for as many images as it stands for.

    It sits in the place of the micro-batch, which every copy of a split shares, a randomised one too.
    """

    passes: Passes = field(default_factory=Passes)

    def count(self, part: str, images: Tensor, out: Tensor) -> Tensor:
        """Count a pass of ``images`` through the features or the head that gave ``out``, which is handed back."""
        self.passes.watch(part, out, len(images) * self.stands_for)
        return out


class CountedSplit(TorchSplit):
    """The network itself, whose loops of copies are rehearsed and whose passes are counted."""

    micro_batch: Tally

    @classmethod
    def of(cls, split: TorchSplit, tally: Tally) -> CountedSplit:
        """``split`` with another micro-batch."""
        return cls(**{f.name: getattr(split, f.name) for f in fields(split)} | {"micro_batch": tally})

    def features(self, x: Tensor) -> Tensor:
        return self.micro_batch.count("features", x, super().features(x))

    def head(self, A: Tensor) -> Tensor:
        return self.micro_batch.count("head", A, super().head(A))


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
    provides: frozenset[str] = frozenset({"gradient"})
    micro_batch: Tally = field(default_factory=Tally)
    memory_format: torch.memory_format = torch.contiguous_format

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def for_copies(self) -> DrySplit:
        return self

    @classmethod
    def of(cls, split: TorchSplit, A: Tensor) -> DrySplit:
        """With the shapes of ``split``, whose activations are ``A`` [B,K,h,w]."""
        side = (A.shape[2], A.shape[3])
        return cls(split.name, split.layer, split.num_classes, split.preprocess, A.shape[1], side)

    def features(self, x: Tensor) -> Tensor:
        A = self._pattern + F.adaptive_avg_pool2d(x, self.side).mean(1, keepdim=True)  # [m,K,h,w]
        return self.micro_batch.count("features", x, A)

    def head(self, A: Tensor) -> Tensor:
        logits = A.mean((2, 3)) @ self._weight  # a head that every method accepts, CAM too
        return self.micro_batch.count("head", A, logits)

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
