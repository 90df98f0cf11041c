"""How fast the bare passes of a network are on this machine: by the kind of pass, and while a run goes on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from camsbench.core.alike import head_by_kind, one_of_each
from camsbench.core.heads import linear_head
from camsbench.core.passes import Passes
from camsbench.core.types import Split

ALL = Passes(1, 1, 1, 1)
FEW = 3  # repeats that are enough of what takes long
NONE = Passes()


@dataclass(frozen=True)
class Speed:
    """Seconds an image of each kind of pass: through the features, the head, back through either, and the tail."""

    features: float
    head: float
    back_head: float = 0.0
    back_features: float = 0.0
    tail: float = 0.0

    def seconds(self, passes: Passes) -> float:
        """How long ``passes`` take."""
        head = max(passes.head, passes.features)  # the uncut network passes both
        return (
            passes.features * self.features
            + head * self.head
            + passes.backward * self.back_head
            + passes.through * self.back_features
            + passes.tail * self.tail
        )

    @property
    def forward_rate(self) -> float:
        """Passes of the whole network a second."""
        return 1 / (self.features + self.head)


def time_by_kind(
    cost: Callable[[Callable[[], Any], int], float],
    split: Split,
    x: Tensor,
    parts: tuple[Tensor, ...],
    passes: Passes = ALL,
) -> Speed:
    """``cost(work, images)`` an image of each kind of pass that is among ``passes``.

    ``x`` are images, and ``parts`` what ``Split.parts`` gives.

    A gradient's is what a pass with it costs more than one without.
    """

    def back(part: Callable[[Tensor], Tensor], at: Tensor) -> None:
        with torch.enable_grad():
            part(at.detach().requires_grad_()).sum().backward()  # autograd.grad would trip FlopCounterMode's hooks

    A, *beside = parts
    closed = linear_head(split) if passes.tail else None
    with torch.no_grad():
        copies = split.for_copies  # nearly all of a run's passes
        head = cost(lambda: copies.head(*parts), len(A))
        features = cost(lambda: copies.logits(x), len(x)) - head  # backends run the whole network as one graph
        tail = 0.0
        if closed is not None and (rest := closed.rest) is not None:
            behind = torch.zeros(len(A), closed.linear.out_features, device=A.device)
            tail = cost(lambda: rest(behind), len(A))
        elif passes.tail and (by_kind := head_by_kind(split, parts)) is not None:
            each = one_of_each(parts, 2)
            tail = cost(lambda: by_kind(*each), len(A))
    back_head = cost(lambda: back(lambda leaf: split.head(leaf, *beside), A), len(A)) - head if passes.backward else 0.0
    back_features = cost(lambda: back(split.features, x), len(x)) - features if passes.through else 0.0
    return Speed(features, head, max(0.0, back_head), max(0.0, back_features), tail)


def time_repeats(work: Callable[[], Any], device: torch.device, repeats: int | None, seconds: float) -> list[float]:
    """Seconds of each of ``repeats``, or of three when these took ``seconds``; None: as many as fit, at least one."""
    found: list[float] = []
    _wait(device)
    while (len(found) < repeats) if repeats else True:
        if sum(found) >= seconds and len(found) >= (3 if repeats else 1):
            break
        start = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - start)
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class BareTimer:
    """Times bare passes of a split: with its folding, layout, backend and precision, on full micro-batches of noise.

    The rate of a shared machine moves within minutes, so that what is timed after a run says little of the minutes
    before. Some of the passes are therefore timed between the run's own, and those that are still lacking behind them.

    Args:
        split: whose passes; they count where its do.
        repeats: how many times each kind is timed; ``FEW`` times what takes long.
    """

    def __init__(self, split: Split, repeats: int) -> None:
        self.split = split
        self.repeats = repeats
        self.samples: list[Speed] = []
        self.seconds = 0.0  # that all of it took
        self._sampling = 0.0  # of these, without the preparation
        self._start = 0.0

    @property
    def due(self) -> bool:
        """Whether measuring took less than a twentieth of the time so far; with enough repeats, a hundredth."""
        share = 20 if len(self.samples) < self.repeats else 100
        return not self.samples or share * self._sampling < time.perf_counter() - self._start

    def sample(self) -> None:
        """Time one micro-batch through the features and the head."""
        begun = time.perf_counter()
        x, parts = self._images
        start = time.perf_counter()
        self._start = self._start or start
        self.samples.append(time_by_kind(self._time_once, self.split, x, parts, NONE))
        self._sampling += time.perf_counter() - start
        self.seconds += time.perf_counter() - begun

    def speed(self, passes: Passes, seconds: float) -> tuple[Speed, int]:
        """The medians, and the number of repeats behind the least certain of them.

        Args:
            passes: what the run made; kinds that it did not make are not measured.
            seconds: after this time a kind has enough with ``FEW`` repeats.
        """
        while len(self.samples) < self.repeats and (self._sampling < seconds or len(self.samples) < FEW):
            self.sample()
        features, head = (statistics.median(getattr(s, part) for s in self.samples) for part in ("features", "head"))
        if not (passes.backward or passes.through or passes.tail):
            return Speed(features, head), len(self.samples)
        fewest = len(self.samples)

        def cost(work: Callable[[], Any], images: int) -> float:
            nonlocal fewest
            found = time_repeats(work, self.split.device, self.repeats, seconds)
            fewest = min(fewest, len(found))
            return statistics.median(found) / images

        rest = time_by_kind(cost, self.split, *self._images, passes)
        return replace(rest, features=features, head=head), fewest

    @cached_property
    def _images(self) -> tuple[Tensor, tuple[Tensor, ...]]:
        """A micro-batch of noise and its ``Split.parts``, passed once to warm up."""
        shape = (self.split.micro_batch.size, *self.split.preprocess.shape)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        x = noise.to(self.split.device, memory_format=self.split.memory_format)
        with torch.no_grad():
            parts = self.split.parts(x)
            self.split.for_copies.logits(x)
        return x, parts

    def _time_once(self, work: Callable[[], Any], images: int) -> float:
        return time_repeats(work, self.split.device, 1, 0.0)[0] / images
