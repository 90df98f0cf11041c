"""Time several ways to do the same work, in turns, so that a machine's moods hit all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from benching.subjects import Network, counted_by
from camsbench.core.passes import Passes
from camsbench.core.saliency import SaliencyRule

Work = Callable[[], Any]


@dataclass(frozen=True)
class Contender:
    """One way to do a group's work.

    Args:
        name: who does it, on what.
        work: does it once, for all images of the group; gives maps [B,h,w] or values, or nothing to compare.
        counts: the network whose passes are counted.
        twin: what the result is compared with: the name of another contender, or work that is not timed; None for
            nothing.
        seconds: reads its own clock (another process) in place of ours around ``work``.
        note: what a reader must know.
    """

    name: str
    work: Work
    counts: Network | None = None
    twin: str | Work | None = None
    seconds: Callable[[], float] | None = None
    note: str = ""


@dataclass(frozen=True)
class Row:
    """What one contender needed; ``runs`` are seconds of each repeat, for all images."""

    section: str
    group: str
    contender: str
    images: int
    runs: list[float]
    reference: list[float] = field(repr=False)  # the runs of the group's first contender, of the same repeats
    passes: str = ""
    difference: float | None = None
    note: str = ""

    @property
    def seconds(self) -> float:
        """Median seconds an image."""
        return statistics.median(self.runs) / self.images

    @property
    def ratios(self) -> list[float]:
        """Time over the group's first contender's, of each repeat."""
        return paired(self.runs, self.reference)


def paired(runs: list[float], others: list[float]) -> list[float]:
    """The ratio of each repeat."""
    return [a / b for a, b in zip(runs, others, strict=True)]


def measure(
    section: str, group: str, images: int, contenders: list[Contender], repeats: int, budget: float, warm: bool = True
) -> list[Row]:
    """Each contender once a repeat, every other repeat in the opposite order; the first is the reference.

    Args:
        images: how many the work of each is for.
        budget: seconds after which no further repeat begins; one is always done.
        warm: do all work once before, untimed. Off for work of a minute.
    """
    made: dict[str, Any] = {}
    passes: dict[str, str] = {}
    runs: dict[str, list[float]] = {one.name: [] for one in contenders}
    if warm:
        for one in contenders:
            with _counted(one) as count:
                _, made[one.name] = _timed(one)
            passes[one.name] = _passes(count, images)
    begun = time.perf_counter()
    for repeat in range(repeats):
        spent = time.perf_counter() - begun
        if repeat and spent * (repeat + 1) / repeat > budget:
            break
        for one in contenders[:: 1 if repeat % 2 == 0 else -1]:
            with _counted(one) as count:  # a hook that adds a number a micro-batch: not to be seen in the time
                seconds, made[one.name] = _timed(one)
            passes.setdefault(one.name, _passes(count, images))
            runs[one.name].append(seconds)
    reference = runs[contenders[0].name]
    return [
        Row(
            section,
            group,
            one.name,
            images,
            runs[one.name],
            reference,
            passes[one.name],
            _difference(one, made),
            one.note,
        )
        for one in contenders
    ]


def _timed(one: Contender) -> tuple[float, Any]:
    if one.seconds is not None:
        return one.seconds(), one.work()
    start = time.perf_counter()
    result = one.work()
    return time.perf_counter() - start, result


@contextmanager
def _counted(one: Contender) -> Iterator[Passes | None]:
    if one.counts is None:
        yield None
        return
    with counted_by(one.counts) as passes:
        yield passes


def _passes(count: Passes | None, images: int) -> str:
    """Passes an image, as in ``687 F + 1 B``: whole forward, head only, backward, and tail of a closed form."""
    if count is None:
        return ""
    kinds = {"F": count.forward, "head": count.head_only, "B": count.backward, "tail": count.tail}
    return " + ".join(f"{number / images:g} {kind}" for kind, number in kinds.items() if number)


def _difference(one: Contender, made: dict[str, Any]) -> float | None:
    if not one.twin:
        return None
    mine, other = made[one.name], made[one.twin] if isinstance(one.twin, str) else one.twin()
    if mine.ndim >= 3:
        mine, other = as_saliency(mine), as_saliency(other)
    return float((mine.double() - other.double()).abs().max())


def as_saliency(maps: Tensor, side: int = 224) -> Tensor:
    """Maps [B,h,w] or [B,1,h,w] of any range at the image's size, min-maxed: [B,1,side,side]."""
    return SaliencyRule()(maps.detach().double().flatten(0, -3), (side, side))[0]
