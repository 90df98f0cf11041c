"""How a network is passed: with which options, in which micro-batches, and how often, counted where a pass is made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Protocol

import torch
from torch import Tensor

from camsbench.errors import CamsbenchError

log = logging.getLogger(__name__)
AUTO_SIZE = {"cpu": 16, "cuda": 256}  # 16 fits a CPU's caches (measured); a GPU backs off from 256 when it must


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
    head's first linear one, or as a few tokens through a head of tokens, which ``head`` does not see.
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
def count_passes(split: Counting) -> Iterator[Passes]:
    """The passes of a split's network inside the block, known at its end."""
    before, found = replace(split.passes), Passes()
    yield found
    vars(found).update(vars(split.passes - before))


@dataclass
class MicroBatch:
    """How many copies are scored at once; halves itself, for good, when memory runs out.

    ``stands_for`` is the number of items that each passed item stands for: 1, but in a ``Rehearsal``.
    """

    size: int
    stands_for: int = 1

    @classmethod
    def of(cls, size: int | str, device: torch.device) -> MicroBatch:
        """From ``runtime.micro_batch``: a number, or ``auto``."""
        if size == "auto":
            return cls(AUTO_SIZE.get(device.type, 64))
        if not isinstance(size, int) or size < 1:
            raise CamsbenchError(f"runtime.micro_batch={size}: give a number from 1 up, or auto")
        return cls(size)

    def run(self, count: int, work: Callable[[slice], Tensor]) -> Tensor:
        """``work`` over consecutive slices of ``range(count)``, its results [m,...] joined along the first axis."""
        done, parts = 0, []
        while done < count:
            chunk = slice(done, min(done + self.size, count))
            try:
                parts.append(work(chunk))
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
            else:
                done = chunk.stop
                continue
            self.halve()  # outside the except block, whose traceback holds the failed chunk's tensors
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def run_each(self, count: int, work: Callable[[slice], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """``run`` for work that gives several tensors, each [m,...]."""
        shapes: list[torch.Size] = []

        def flat(chunk: slice) -> Tensor:
            parts = work(chunk)
            shapes[:] = [part.shape[1:] for part in parts]
            return parts[0] if len(parts) == 1 else torch.cat([part.flatten(1) for part in parts], 1)

        joined = self.run(count, flat)
        if len(shapes) == 1:
            return (joined,)
        parts = joined.split([shape.numel() for shape in shapes], 1)
        return tuple(part.reshape(len(part), *shape) for part, shape in zip(parts, shapes, strict=True))

    def halve(self) -> None:
        """Half the size.

        Raises:
            CamsbenchError: at size 1, when not even one copy fits.
        """
        if self.size == 1:
            raise CamsbenchError("memory ran out at runtime.micro_batch=1: use a smaller network or another device")
        self.size //= 2
        log.warning("memory ran out: going on with micro-batches of %d", self.size)


@dataclass
class Rehearsal(MicroBatch):
    """Passes the first item of every loop and takes its result for all of them: for counting passes, at no cost."""

    size: int = 1

    def run(self, count: int, work: Callable[[slice], Tensor]) -> Tensor:
        """The result [1,...] of the first of ``count`` items, as often as there are items: [count,...]."""
        outside = self.stands_for
        self.stands_for *= count
        try:
            part = work(slice(0, 1))
        finally:
            self.stands_for = outside
        return part.repeat(count, *[1] * (part.ndim - 1))


def in_micro_batches(budget: MicroBatch, count: int, work: Callable[[slice], Tensor]) -> Tensor:
    """As ``MicroBatch.run``."""
    return budget.run(count, work)


def at_least_single(x: Tensor) -> Tensor:
    """``x`` in single precision where its own is lower: a softmax of half-precision logits loses what it compares."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _out_of_memory(error: RuntimeError) -> bool:
    said = str(error)  # the host's allocator, cuBLAS and cuDNN raise plain RuntimeErrors
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in said or "ALLOC_FAILED" in said
