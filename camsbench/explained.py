"""One explained batch: the map, its saliency, what several metrics ask of both, and what a metric is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from camsbench import scoring
from camsbench.maps import SaliencyRule, size_of
from camsbench.types import Explainer, Forward, Split


@dataclass(frozen=True)
class Explained:
    """A forward pass under one method: what a metric judges.

    ``masked`` is the pass of the masked image x ⊙ saliency, and ``masked_saliency`` the same method's saliency of it:
    drop, increase, coherency and ADCC share them.
    """

    split: Split
    explainer: Explainer
    rule: SaliencyRule
    forward: Forward
    raw: Tensor  # [B,h',w']
    saliency: Tensor  # [B,1,H,W]
    degenerate: Tensor  # [B] bool
    seconds: float  # for the whole batch, explaining only

    @cached_property
    def masked(self) -> Forward:
        """The forward pass of the masked images, for the same targets, each with another random stream.

        With the same stream a random map would explain itself perfectly.
        """
        x = self.forward.x * self.saliency
        return scoring.forward(self.split, x, self.forward.target, tuple(seed ^ 1 for seed in self.forward.seeds))

    @cached_property
    def masked_saliency(self) -> Tensor:
        """The method's saliency [B,1,H,W] of the masked images, for the same targets."""
        raw = self.explainer(self.split, self.masked)
        return self.rule(raw, size_of(self.forward.x))[0]


class Metric(Protocol):
    """A measure of an explanation, per image and never averaged.

    ``columns`` maps each column that it gives to the direction that is better (``"higher"`` or ``"lower"``). Calling
    it gives those columns, each a float tensor [B] with NaN where it is not defined for an image, and, where it has
    them, curves: float tensors [B,n] under names of their own.
    """

    @property
    def columns(self) -> Mapping[str, str]: ...

    def __call__(self, explained: Explained) -> dict[str, Tensor]: ...


def measure(metrics: Iterable[Metric], explained: Explained) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The columns [B] and the curves [B,n] that metrics give of an explained batch."""
    columns: dict[str, Tensor] = {}
    curves: dict[str, Tensor] = {}
    for metric in metrics:
        for name, values in metric(explained).items():
            (columns if values.ndim == 1 else curves)[name] = values
    return columns, curves


def explain(split: Split, explainer: Explainer, rule: SaliencyRule, forward: Forward) -> Explained:
    """Run a method on a forward pass and time it, synchronised with the device."""
    synchronise(forward.x)
    start = time.perf_counter()
    raw = explainer(split, forward)
    synchronise(forward.x)
    seconds = time.perf_counter() - start
    saliency, degenerate = rule(raw, size_of(forward.x))
    return Explained(split, explainer, rule, forward, raw, saliency, degenerate, seconds)


def synchronise(x: Tensor) -> None:
    """Wait until the device of ``x`` has done what it was given: before the clock is read."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
