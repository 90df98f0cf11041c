"""What a run cost: its passes by kind, and how far it was from the bare network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from camsbench import speed
from camsbench.config import Job
from camsbench.cost import Passes, counted
from camsbench.fusion import MeanOfLayers
from camsbench.speed import Speed
from camsbench.types import Split


@dataclass
class Account:
    """The passes of one session of a run, the seconds that it took, and the bare speed of the same split.

    ``bare`` is measured right after the work, on full micro-batches, with the same folding, layout, backend and
    precision: the median of ``repeats`` (``runtime.bare``). ``efficiency`` is the time that the passes take bare, as a
    share of the time that the session took: reading, masks, metrics and writing are what is missing to 1.
    """

    images: int = 0
    seconds: float = 0.0
    passes: Passes = field(default_factory=Passes)
    bare: Speed | None = None
    repeats: int = 0

    @property
    def efficiency(self) -> float | None:
        """None where nothing was done or the bare speed was not measured."""
        return self.bare.seconds(self.passes) / self.seconds if self.bare is not None and self.images else None

    def record(self) -> dict[str, Any]:
        """For the run's ``environment.json``."""
        found: dict[str, Any] = {"images": self.images, "seconds": round(self.seconds, 3), **asdict(self.passes)}
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


@contextmanager
def accounted(job: Job) -> Iterator[Account]:
    """Account for the work inside the block, then measure the bare speed (``runtime.bare`` repeats; 0: not at all)."""
    account = Account()
    splits = _splits(job)
    with counted(*splits) as passes:
        start = time.perf_counter()
        yield account
        account.seconds = time.perf_counter() - start
    account.passes = passes
    if account.images and job.runtime.bare:
        account.bare, account.repeats = speed.bare(splits[-1], passes, job.runtime.bare, max(5.0, account.seconds / 10))


def _splits(job: Job) -> list[Any]:
    fused = [method.splits for method in job.methods.values() if isinstance(method, MeanOfLayers)]
    every: list[Split] = [*job.splits, *(fused[0] if fused else ())]
    return every
