"""How a network is passed, and how often: passes are counted where they are made, not claimed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class PassOptions:
    """How a split passes its network. What it gives stays the same up to rounding, and to that of ``copies_dtype``.

    Args:
        fold: where no gradient is recorded, run with each BatchNorm folded into the convolution before it
            (``camsbench.models.folding``).
        repack: closed forms may keep a second copy of the head's first linear layer (411 MB for a VGG).
        short_cuts: passes may be replaced by arithmetic that gives the same scores.
        copies_dtype: what products and convolutions of perturbed copies are calculated in.
        compile: pass perturbed copies through ``torch.compile`` (``camsbench.models.compiled``).
    """

    fold: bool = False
    repack: bool = True
    short_cuts: bool = True
    copies_dtype: torch.dtype = torch.float32
    compile: bool = False


@dataclass
class Passes:
    """Images passed through the features and the head, and images whose gradient was taken.

    ``through`` counts the gradients, among those of ``backward``, that went on from the head through the features.
    ``tail`` counts the copies that a closed form (``camsbench.core.closed_forms``) takes through the layers behind the
    head's first linear one, which ``head`` does not see.
    """

    features: int = 0
    head: int = 0
    backward: int = 0
    through: int = 0
    tail: int = 0

    @property
    def forward(self) -> int:
        """Passes of the whole network."""
        return self.features

    @property
    def head_only(self) -> int:
        """Passes of the head beyond those that complete a pass of the whole network."""
        return max(0, self.head - self.features)

    def count(self, part: str, out: Tensor, images: int) -> Tensor:
        """Count ``images`` that passed ``part`` (features, head, or network: both) and gave ``out``, and its gradients.

        Returns ``out``, so that a split counts in the line that passes.
        """
        self.features += images * (part != "head")
        self.head += images * (part != "features")
        if out.requires_grad:
            out.register_hook(lambda _: self._count_gradient(part, images))
        return out

    def _count_gradient(self, part: str, images: int) -> None:
        self.backward += images * (part != "features")
        self.through += images * (part != "head")

    def __add__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def __mul__(self, images: int) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) * images for f in fields(self)})


class Counting(Protocol):
    """What counts its passes, such as a split."""

    @property
    def passes(self) -> Passes: ...


@contextmanager
def counted(split: Counting) -> Iterator[Passes]:
    """The passes of a split's network inside the block, known at its end."""
    before, found = replace(split.passes), Passes()
    yield found
    vars(found).update(vars(split.passes - before))
