"""Insertion and deletion: the target's probability while pixels come or go in the order of their saliency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.saliency import size_of
from camsbench.core.scoring import score_inputs
from camsbench.errors import CamsbenchError, check_choices
from camsbench.metrics._ranking import cell_rank, cells_cover, pixel_rank
from camsbench.metrics._substrate import SUBSTRATES, bare_probability, substrate_of

ORDERS = ("pixels", "cells")
ROUNDINGS = ("up", "down")
AUC_POINTS = ("all", "first", "last", "last_and_image")
DIVISORS = ("steps", "points")


@dataclass(frozen=True)
class Curve:
    """Settings that insertion and deletion share.

    Args:
        steps: number of steps; the curve has steps + 1 points, the first before any step. None: one pixel or cell a
            step.
        rounding: ``up`` changes ⌈units/steps⌉ a step, so that the last step ends the image (Petsiuk et al. 2018);
            ``down`` changes ⌊units/steps⌋ and may leave a few (Poppi et al. 2021).
        substrate: what stands where a pixel does not, see ``camsbench.metrics._substrate``.
        points: which points the trapezoidal area sees: ``all`` steps + 1, or only the ``first`` or ``last`` ``steps``
            of them (Poppi et al. 2021), or the ``last`` ones and then the probability of the image itself
            (``last_and_image``, ReciproCAM's author: his insertion never scores the bare substrate).
        order: what goes at once: ``pixels`` in the order of the saliency, or the ``cells`` of the raw map, see
            ``camsbench.metrics._ranking.cell_rank``; a raw map that is not of the target layer's size is averaged
            over the layer's cells.
        divisor: what the trapezoids' sum is divided by: the number of ``steps``, or of the ``points`` that it sees
            (ReciproCAM's author: 50 at 49 cells, so that no area exceeds 0.98).
    """

    steps: int | None = 224
    rounding: str = "up"
    substrate: str = "zero"
    points: str = "all"
    order: str = "pixels"
    divisor: str = "steps"
    needs: ClassVar[frozenset[str]] = frozenset({"confidence"})

    def __post_init__(self) -> None:
        if self.steps is not None and (not isinstance(self.steps, int) or self.steps < 2):
            raise ValueError(f"steps is {self.steps}: it must be a whole number from 2 up, or null for one unit a step")
        check_choices(self, rounding=ROUNDINGS, substrate=SUBSTRATES, points=AUC_POINTS, order=ORDERS, divisor=DIVISORS)

    def plan(self, units: int) -> tuple[int, int]:
        """Number of steps, and pixels or cells changed a step, of ``units`` in the image.

        Raises:
            CamsbenchError: fewer units than steps.
        """
        steps = units if self.steps is None else self.steps
        if steps > units:
            raise CamsbenchError(
                f"{type(self).__name__.lower()}.steps={steps}: the image has only {units} {self.order}"
            )
        return steps, -(-units // steps) if self.rounding == "up" else units // steps

    def scores(self, explained: Explained, insert: bool) -> Tensor:
        """The curve [B,steps+1]: probability of the target after each step.

        The image itself needs no pass, and the bare substrate one for all methods and both curves. Metrics that ask for
        the same curve share it.
        """
        key = (insert, self.steps, self.rounding, self.substrate, self.order)
        return explained.once(key, lambda: self._scores(explained, insert))

    def reached(self, explained: Explained) -> tuple[Tensor, int, bool]:
        """The step [B,1,H,W] that changes each pixel, from 0; the number of steps, for pixels that stay as they are;
        and whether there are none of these."""
        rank, units, covered = self._rank(explained)
        steps, step = self.plan(units)
        at = rank.div_(step, rounding_mode="floor").clamp_(max=steps).int()
        return at, steps, covered and steps * step >= units

    def _scores(self, explained: Explained, insert: bool) -> Tensor:
        split, forward = explained.split, explained.forward
        at, steps, whole = self.reached(explained)
        at = at.expand_as(forward.x).contiguous(memory_format=split.memory_format)  # as x lies: a third less time
        other = substrate_of(self.substrate, split, forward)
        after, before = (forward.x, other) if insert else (other, forward.x)

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            return torch.where(at[image] < copy.int()[:, None, None, None], after[image], before[image])

        if not split.options.short_cuts:
            return score_inputs(split, perturb, steps + 1, forward.target)
        between = score_inputs(split, lambda image, n: perturb(image, n + 1), steps - whole, forward.target)
        if insert:
            points = [bare_probability(self.substrate, split, forward)[:, None], between]
            return torch.cat([*points, forward.probability[:, None]] if whole else points, 1)
        points = [forward.probability[:, None], between]
        return torch.cat([*points, bare_probability(self.substrate, split, forward)[:, None]] if whole else points, 1)

    def area(self, scores: Tensor, probability: Tensor) -> Tensor:
        """Trapezoidal area [B] under curves [B,steps+1]; ``probability`` [B] is that of the images themselves."""
        chosen = {
            "all": scores,
            "first": scores[:, :-1],
            "last": scores[:, 1:],
            "last_and_image": torch.cat([scores[:, 1:], probability[:, None]], 1),
        }[self.points]
        count = scores.shape[1] - 1 if self.divisor == "steps" else chosen.shape[1]
        return (chosen.sum(1) - (chosen[:, 0] + chosen[:, -1]) / 2) / count

    def measure(self, explained: Explained, name: str) -> dict[str, Tensor]:
        """The area [B] as ``name``, and the curve [B,steps+1] as ``name_curve``."""
        scores = self.scores(explained, insert=name == "insertion")
        return {name: self.area(scores, explained.forward.probability), f"{name}_curve": scores}

    def _rank(self, explained: Explained) -> tuple[Tensor, int, bool]:
        """Place [B,1,H,W] of each pixel among the units, their number, and whether they reach every pixel."""
        if self.order == "pixels":
            return pixel_rank(explained.saliency), explained.saliency[0].numel(), True
        cells = explained.raw.float()
        if cells.shape[1:] != explained.forward.A.shape[2:]:
            cells = F.adaptive_avg_pool2d(cells, size_of(explained.forward.A))
        size = size_of(explained.forward.x)
        return cell_rank(cells, size), cells[0].numel(), cells_cover(size_of(cells[:, None]), size)


@dataclass(frozen=True)
class Insertion(Curve):
    """Insertion (Petsiuk et al. 2018, section 4.2): area under the curve while the salient pixels come. In [0,1]."""

    columns: ClassVar[tuple[Column, ...]] = (Column("insertion", "higher", percent=True, title="Ins"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return self.measure(explained, "insertion")


@dataclass(frozen=True)
class Deletion(Curve):
    """Deletion (Petsiuk et al. 2018, section 4.2): area under the curve while the salient pixels go. In [0,1]."""

    columns: ClassVar[tuple[Column, ...]] = (Column("deletion", "lower", percent=True, title="Del"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return self.measure(explained, "deletion")
