"""How fast the bare network is while a run goes on: what a run's efficiency is measured against."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from camsbench.core.types import Split
from camsbench.cost import Passes
from camsbench.speed import Speed, by_kind, times

FEW = 3  # repeats that are enough of what takes long
NONE = Passes()


class Bare:
    """Times bare passes of a split: with its folding, layout, backend and precision, on full micro-batches of noise.

    Machines change their mood within minutes, so that what is timed after a run says little of the minutes before.
    Some of the passes are therefore timed between the run's own, and those that are still lacking behind them.

    Args:
        split: whose passes.
        repeats: how many times each kind is timed; ``FEW`` times what takes long.
    """

    def __init__(self, split: Split, repeats: int) -> None:
        self.split = split
        self.repeats = repeats
        self.samples: list[Speed] = []
        self.spent = 0.0
        self._start = time.perf_counter()
        side = split.preprocess.crop
        noise = torch.randn(split.micro_batch.size, 3, side, side, generator=torch.Generator().manual_seed(0))
        self._x = noise.to(split.device, memory_format=split.memory_format)
        with torch.no_grad():
            self._A = split.features(self._x)
            split.for_copies.logits(self._x)  # warms up

    def due(self) -> bool:
        """Whether measuring took less than a twentieth of the time so far; with enough repeats, a hundredth."""
        share = 20 if len(self.samples) < self.repeats else 100
        return not self.samples or share * self.spent < time.perf_counter() - self._start

    def sample(self) -> None:
        """Time one micro-batch through the features and the head."""
        start = time.perf_counter()
        self.samples.append(by_kind(self._once, self.split, self._x, self._A, NONE))
        self.spent += time.perf_counter() - start

    def speed(self, passes: Passes, seconds: float) -> tuple[Speed, int]:
        """The medians, and the number of repeats behind the least certain of them.

        Args:
            passes: what the run made; kinds that it did not make are not measured.
            seconds: after this time a kind has enough with ``FEW`` repeats.
        """
        while len(self.samples) < self.repeats and (self.spent < seconds or len(self.samples) < FEW):
            self.sample()
        features, head = (statistics.median(getattr(s, part) for s in self.samples) for part in ("features", "head"))
        if not (passes.backward or passes.through or passes.tail):
            return Speed(features, head), len(self.samples)
        fewest = len(self.samples)

        def cost(work: Callable[[], Any], images: int) -> float:
            nonlocal fewest
            found = times(work, self.split.device, self.repeats, seconds)
            fewest = min(fewest, len(found))
            return statistics.median(found) / images

        rest = by_kind(cost, self.split, self._x, self._A, passes)
        return replace(rest, features=features, head=head), fewest

    def _once(self, work: Callable[[], Any], images: int) -> float:
        return times(work, self.split.device, 1, 0.0)[0] / images
