"""What a run cost: its passes by kind, and how far it was from the bare network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from camsbench.bare import Bare
from camsbench.cost import Passes, counted
from camsbench.fusion import MeanOfLayers
from camsbench.job import Job
from camsbench.memory import peak_device, peak_rss
from camsbench.speed import Speed
from camsbench.types import Split


@dataclass
class Account:
    """The passes of one session of a run, the seconds that it took, and the bare speed of the same split.

    ``bare`` is measured while the work goes on and right after it (``camsbench.bare``): the median of ``repeats``, at
    least ``runtime.bare`` of them. ``efficiency`` is the time that the passes take bare, as a share of the time that
    the session took, less that of measuring: reading, masks, metrics and writing are what is missing to 1.
    """

    images: int = 0
    seconds: float = 0.0
    passes: Passes = field(default_factory=Passes)
    bare: Speed | None = None
    repeats: int = 0
    peak_memory: float | None = None  # MiB, of the process
    peak_device_memory: float | None = None  # MiB, of tensors on a CUDA device

    @property
    def efficiency(self) -> float | None:
        """None where nothing was done or the bare speed was not measured."""
        return self.bare.seconds(self.passes) / self.seconds if self.bare is not None and self.images else None

    def record(self) -> dict[str, Any]:
        """For the run's ``environment.json``."""
        found: dict[str, Any] = {"images": self.images, "seconds": round(self.seconds, 3), **asdict(self.passes)}
        found |= {"peak_memory_mib": self.peak_memory, "peak_device_memory_mib": self.peak_device_memory}
        if self.bare is not None:
            found |= {"bare_seconds_a_pass": asdict(self.bare), "bare_repeats": self.repeats}
            found["efficiency"] = self.efficiency
        return found

    def sentence(self) -> str:
        """For the summary."""
        passes = self.passes
        kinds = {"forward": passes.forward, "head": passes.head_only, "backward": passes.backward, "tail": passes.tail}
        said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count or kind == "forward")
        text = f"Passes: {said} for {self.images} images ({passes.forward / max(1, self.images):,.1f} forward each)"
        text += f", {passes.forward / self.seconds:,.1f} forward a second" if self.seconds else ""
        if self.bare is not None and self.efficiency is not None:
            text += (
                f"; the bare network makes {self.bare.forward_rate:,.1f} (median of {self.repeats}, in this run): "
                f"efficiency {100 * self.efficiency:.1f} %"
            )
        return text + "."


class Accountant:
    """Counts a session's passes from its making on, and times bare passes between them."""

    def __init__(self, job: Job, passes: Passes) -> None:
        self.account = Account()
        self._passes = passes
        self._split = _splits(job)[-1]
        self._repeats = job.runtime.bare
        self._bare: Bare | None = None
        self._measuring = 0.0
        self._start = time.perf_counter()

    def between(self) -> None:
        """To be called now and then between the work: times bare micro-batches while they are due."""
        while self._repeats and (self._bare is None or self._bare.due()):
            self._unseen(self._sampled)

    def close(self) -> None:
        """The work is done: what is still to be measured."""
        account = self.account
        account.seconds = time.perf_counter() - self._start - self._measuring
        account.passes = replace(self._passes)
        account.peak_memory, account.peak_device_memory = peak_rss(), peak_device(self._split.device)
        if account.images and self._bare is not None:
            account.bare, account.repeats = self._bare.speed(account.passes, max(5.0, account.seconds / 10))

    def _sampled(self) -> None:
        self._bare = self._bare or Bare(self._split, self._repeats)
        self._bare.sample()

    def _unseen(self, work: Callable[[], None]) -> None:
        before, start = replace(self._passes), time.perf_counter()
        work()
        vars(self._passes).update(vars(before))
        self._measuring += time.perf_counter() - start


@contextmanager
def accounted(job: Job) -> Iterator[Accountant]:
    """Account for the work inside the block; ``runtime.bare`` repeats of bare passes, 0: none."""
    with counted(*_splits(job)) as passes:
        accountant = Accountant(job, passes)
        yield accountant
        accountant.close()


def _splits(job: Job) -> list[Any]:
    fused = [method.splits for method in job.methods.values() if isinstance(method, MeanOfLayers)]
    every: list[Split] = [*job.splits, *(fused[0] if fused else ())]
    return every
