"""Max-sensitivity: how far a map moves when its input is nudged."""

from __future__ import annotations

from collections.abc import Iterator
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


def check_nudges(n: object, radius: float) -> None:
    """See that there can be ``n`` noisy copies within ``radius``.

    Raises:
        ValueError: there cannot.
    """
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"n is {n}: it must be a whole number from 1 up")
    if not radius > 0:
        raise ValueError(f"radius is {radius}: it must be above 0")


def nudged(forward: Forward, name: str, copy: int, radius: float) -> Tensor:
    """Copy ``copy`` of each image [B,3,H,W], moved by at most ``radius``, from its own stream of a measure's name."""
    shape = forward.x.shape[1:]
    noise = drawn(branch(forward, f"{name}/{copy}"), lambda own: torch.rand(shape, generator=own))
    return forward.x + radius * (2 * noise - 1)


def nudges(explained: Explained, name: str, n: int, radius: float) -> Iterator[tuple[Forward, Tensor]]:
    """Each of ``n`` noisy copies' pass, for the same targets, and its saliency [B,1,H,W], one after the other.

    A method that draws random numbers draws others for each copy.
    """
    forward = explained.forward
    for copy in range(n):
        streams = branch(forward, f"{name}/{copy}/explain").seeds
        noisy = scoring.forward(explained.split, nudged(forward, name, copy, radius), forward.target, streams)
        noisy = noisy.knowing(forward)
        yield noisy, explained.rule(explained.explainer(explained.split, noisy), size_of(forward.x))[0]


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
        check_nudges(self.n, self.radius)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        saliency = explained.saliency
        furthest = torch.zeros(len(saliency), device=saliency.device)
        for _, again in nudges(explained, "max_sensitivity", self.n, self.radius):
            furthest = furthest.maximum((again - saliency).flatten(1).norm(dim=1))
        norm = saliency.flatten(1).norm(dim=1)
        return {"max_sensitivity": torch.where(norm > 0, furthest / norm, torch.nan)}
