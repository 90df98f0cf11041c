"""Insertion and deletion: the target's probability while pixels come or go in the order of their saliency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.errors import CamsbenchError
from camsbench.explained import Explained
from camsbench.metrics.substrate import SUBSTRATES, substrate
from camsbench.scoring import score_inputs
from camsbench.types import Forward, Split

ROUNDINGS = ("up", "down")
AUC_POINTS = ("all", "first", "last")


def pixel_rank(saliency: Tensor) -> Tensor:
    """Place of each pixel [B,H·W] in descending order of ``saliency`` [B,1,H,W]; ties in raster order."""
    order = saliency.flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order)
    return rank.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))


@dataclass(frozen=True)
class Curve:
    """Settings that insertion and deletion share.

    Args:
        steps: number of steps; the curve has steps + 1 points, the first before any step.
        rounding: ``up`` changes ⌈H·W/steps⌉ pixels a step, so that the last step ends the image (Petsiuk et al. 2018);
            ``down`` changes ⌊H·W/steps⌋ and may leave a few (Poppi et al. 2021).
        substrate: what stands where a pixel does not, see ``camsbench.metrics.substrate``.
        points: which points the trapezoidal area sees: ``all`` steps + 1, or only the ``first`` or ``last`` ``steps``
            of them, over x = 0 … 1 − 1/steps (Poppi et al. 2021).
    """

    steps: int = 224
    rounding: str = "up"
    substrate: str = "zero"
    points: str = "all"

    def __post_init__(self) -> None:
        if not isinstance(self.steps, int) or self.steps < 2:
            raise ValueError(f"steps is {self.steps}: it must be a whole number from 2 up")
        for field, choices in (("rounding", ROUNDINGS), ("substrate", SUBSTRATES), ("points", AUC_POINTS)):
            if getattr(self, field) not in choices:
                raise ValueError(f"{field} is '{getattr(self, field)}': it must be one of {', '.join(choices)}")

    def pixels(self, total: int) -> int:
        """Pixels changed a step, of ``total`` in the image."""
        if self.steps > total:
            raise CamsbenchError(f"{type(self).__name__.lower()}.steps={self.steps}: the image has only {total} pixels")
        return -(-total // self.steps) if self.rounding == "up" else total // self.steps

    def scores(self, split: Split, forward: Forward, saliency: Tensor, insert: bool) -> Tensor:
        """The curve [B,steps+1]: probability of the target after each step."""
        rank = pixel_rank(saliency).view(-1, 1, *saliency.shape[2:])  # [B,1,H,W]
        step = self.pixels(rank[0].numel())
        other = substrate(self.substrate, split, forward.x)

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            reached = rank[image] < (copy * step)[:, None, None, None]
            return torch.where(reached == insert, forward.x[image], other[image])

        return score_inputs(split, perturb, self.steps + 1, forward.target)

    def area(self, scores: Tensor) -> Tensor:
        """Trapezoidal area [B] under curves [B,steps+1], for x a step's share of ``steps``."""
        chosen = {"all": scores, "first": scores[:, :-1], "last": scores[:, 1:]}[self.points]
        return (chosen.sum(1) - (chosen[:, 0] + chosen[:, -1]) / 2) / self.steps


@dataclass(frozen=True)
class Insertion(Curve):
    """Insertion (Petsiuk et al. 2018, section 4.2): area under the curve while the salient pixels come. In [0,1]."""

    columns: ClassVar[Mapping[str, str]] = {"insertion": "higher"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        scores = self.scores(explained.split, explained.forward, explained.saliency, insert=True)
        return {"insertion": self.area(scores)}


@dataclass(frozen=True)
class Deletion(Curve):
    """Deletion (Petsiuk et al. 2018, section 4.2): area under the curve while the salient pixels go. In [0,1]."""

    columns: ClassVar[Mapping[str, str]] = {"deletion": "lower"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        scores = self.scores(explained.split, explained.forward, explained.saliency, insert=False)
        return {"deletion": self.area(scores)}
