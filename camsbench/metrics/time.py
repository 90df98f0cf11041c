"""The time of an explanation, as a user of one image meets it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.columns import Column
from camsbench.core.explained import Explained, synchronise
from camsbench.core.saliency import size_of
from camsbench.core.types import Forward

NOTE = "Time: median seconds of one image, with exact short cuts (time) and without (time_plain)."


@dataclass(frozen=True)
class Time:
    """Seconds that one image takes, from the normalised image on the device to its saliency.

    Each image is explained again, alone: the pass of the network, the method, and the protocol's resize and
    normalisation. Nothing is shared with other images or methods. The clock is read after the device is done; the
    value is the median of ``repeats``. ``time`` is with exact short cuts, ``time_plain`` without (see
    ``Split.plain``): both are measured for every method, also where it has none and they differ by noise alone. The
    curves ``time_runs`` and ``time_plain_runs`` [B,repeats] hold each repeat, in order, so that the spread within an
    image can be told from that between images.

    ReciproCAM (Table 2) times without synchronisation and includes constructing the method.

    Args:
        repeats: measurements of each image, with and without short cuts in turn.
        warmup: explanations with and without short cuts before the first measurement of each batch, not timed.
    """

    repeats: int = 3
    warmup: int = 1
    columns: ClassVar[tuple[Column, ...]] = (
        Column("time", "lower", reduce="median", seconds=True, note=NOTE),
        Column("time_plain", "lower", reduce="median", seconds=True, note=NOTE),
    )

    def __post_init__(self) -> None:
        for option, least in (("repeats", 1), ("warmup", 0)):
            if not isinstance(getattr(self, option), int) or getattr(self, option) < least:
                raise ValueError(f"{option} is {getattr(self, option)}: give a whole number from {least} up")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        for _ in range(self.warmup):
            self._pair(explained, explained.forward.select([0]))
        runs = [
            [self._pair(explained, alone) for _ in range(self.repeats)]
            for alone in (explained.forward.select([i]) for i in range(len(explained.raw)))
        ]
        quick, plain = torch.tensor(runs, dtype=torch.float64, device=explained.raw.device).unbind(2)  # [B,repeats]
        medians = {"time": quick.quantile(0.5, dim=1), "time_plain": plain.quantile(0.5, dim=1)}
        return medians | {"time_runs": quick, "time_plain_runs": plain}

    def _pair(self, explained: Explained, alone: Forward) -> tuple[float, float]:
        """Seconds with and without exact short cuts."""
        seconds = []
        for split in (explained.split, explained.split.plain):
            synchronise(alone.x)
            start = time.perf_counter()
            forward = scoring.forward(split, alone.x, alone.target, alone.seeds).knowing(alone)
            explained.rule(explained.explainer(split, forward), size_of(alone.x))
            synchronise(alone.x)
            seconds.append(time.perf_counter() - start)
        return seconds[0], seconds[1]
