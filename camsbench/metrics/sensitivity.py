"""Max-sensitivity: how far a map moves when its input is nudged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.noise import branch, drawn
from camsbench.core.saliency import size_of
from camsbench.core.types import Forward


@dataclass(frozen=True)
class MaxSensitivity:
    """Max-sensitivity (Yeh et al. 2019): max over y of ‖Φ(y) − Φ(x)‖ / ‖Φ(x)‖, for y in a ball around x.

    The maximum over the ball max|y − x| ≤ ``radius`` is estimated from ``n`` uniform draws, and divided by the norm of
    the map (2-norm over its pixels), as in captum's ``sensitivity_max``. Φ is the saliency, for the class of x. A
    method that draws random numbers draws others for each y, so that its own spread counts. NaN where the saliency is
    all zero (captum divides by 1 there).

    One noisy copy of each image is explained at a time: as much memory, and ``n`` times the passes, of the method.

    Args:
        n: noisy copies an image.
        radius: largest change of an input value, in the network's normalised input space (1 is a standard deviation of
            the training set's colours).
    """

    n: int = 10
    radius: float = 0.02
    columns: ClassVar[tuple[Column, ...]] = (Column("max_sensitivity", "lower"),)

    def __post_init__(self) -> None:
        if not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"n is {self.n}: it must be a whole number from 1 up")
        if not self.radius > 0:
            raise ValueError(f"radius is {self.radius}: it must be above 0")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        split, saliency = explained.split, explained.saliency
        size, furthest = size_of(explained.forward.x), torch.zeros(len(saliency), device=saliency.device)
        for copy in range(self.n):
            streams = branch(explained.forward, f"max_sensitivity/{copy}/explain").seeds
            noisy = scoring.forward(split, self.noisy(explained.forward, copy), explained.forward.target, streams)
            again, _ = explained.rule(explained.explainer(split, noisy.knowing(explained.forward)), size)
            furthest = furthest.maximum((again - saliency).flatten(1).norm(dim=1))
        norm = saliency.flatten(1).norm(dim=1)
        return {"max_sensitivity": torch.where(norm > 0, furthest / norm, torch.nan)}

    def noisy(self, forward: Forward, copy: int) -> Tensor:
        """Copy ``copy`` of each image [B,3,H,W], from its own stream."""
        shape = forward.x.shape[1:]
        noise = drawn(branch(forward, f"max_sensitivity/{copy}"), lambda own: torch.rand(shape, generator=own))
        return forward.x + self.radius * (2 * noise - 1)
