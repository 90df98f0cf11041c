"""The one micro-batch loop, and what it does when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from camsbench.errors import CamsbenchError

log = logging.getLogger(__name__)

AUTO_SIZE = {"cpu": 16, "cuda": 256}  # 16 fits a CPU's caches (measured); a GPU backs off from 256 when it must


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


def _out_of_memory(error: RuntimeError) -> bool:
    said = str(error)  # the host's allocator, cuBLAS and cuDNN raise plain RuntimeErrors
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in said or "ALLOC_FAILED" in said
