"""MAS: insertion and deletion, corrected by how far the curve is from what the map itself promises."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.saliency import normalise
from camsbench.metrics._substrate import bare_probability
from camsbench.metrics.curves import Curve

ROUNDING = 1e-6  # the share of a probability that single precision does not tell from 0


@dataclass(frozen=True)
class MAS:
    """Magnitude Aligned Scoring (Walker et al. 2024): insertion and deletion of which a map's magnitude decides too.

    The model response r is the curve of insertion (or deletion), min-maxed between the probabilities of the bare
    substrate and of the image, clipped to [0,1] and made monotone: its running maximum (minimum). The density response
    d is the share of the map's sum that the pixels inserted so far (or not yet deleted) hold. The alignment penalty is
    |d − r|; ``mas_insertion`` is the area under clip(r − |d − r|, 0, 1), ``mas_deletion`` that under
    clip(r + |d − r|, 0, 1), each min-maxed, and ``mas`` their difference. The curves are
    ``mas_insertion_curve`` and ``mas_deletion_curve`` [B,steps+1]. All points count, whatever a protocol's areas see.

    Read off the authors' code (chasewalker26/Magnitude-Aligned-Scoring). There the class is the predicted one, here the
    target. NaN for a map of zeros, whose images the authors leave out, and where image and bare substrate have the same
    probability, up to rounding, which the authors' code gives 1/2. What is below 0 in a map, as bicubic interpolation
    makes it, counts as 0.

    The passes are those of insertion and deletion, shared where a run measures these with the same settings.

    Args:
        insertion, deletion: of each curve ``steps``, ``rounding``, ``substrate`` and ``order``.
    """

    insertion: Curve = field(default_factory=lambda: Curve(substrate="rise_blur"))
    deletion: Curve = field(default_factory=Curve)
    needs: ClassVar[frozenset[str]] = Curve.needs
    columns: ClassVar[tuple[Column, ...]] = (
        Column("mas", "higher", percent=True, title="MAS"),
        Column("mas_insertion", "higher", percent=True),
        Column("mas_deletion", "lower", percent=True),
    )

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        inserted = corrected(self.insertion, explained, insert=True)
        deleted = corrected(self.deletion, explained, insert=False)
        up, down = area(self.insertion, inserted), area(self.deletion, deleted)
        areas = {"mas": up - down, "mas_insertion": up, "mas_deletion": down}
        return areas | {"mas_insertion_curve": inserted, "mas_deletion_curve": deleted}


def corrected(curve: Curve, explained: Explained, insert: bool) -> Tensor:
    """The curve [B,steps+1] less, or of deletion plus, the alignment penalty, clipped and min-maxed."""
    scores, density = curve.scores(explained, insert).double(), density_response(curve, explained)
    bare = bare_probability(curve.substrate, explained.split, explained.forward).double()[:, None]
    whole = explained.forward.probability.double()[:, None]
    gap = whole - bare
    apart = gap.abs() > ROUNDING * whole.maximum(bare)
    response = ((scores - bare) / torch.where(apart, gap, torch.nan)).clamp(0, 1)
    if insert:
        response = response.cummax(1).values
        aligned = response - (density - response).abs()
    else:
        response, density = response.cummin(1).values, 1 - density
        aligned = response + (density - response).abs()
    unit, flat = normalise(aligned.clamp(0, 1)[:, None])
    return torch.where(flat[:, None], torch.nan, unit.squeeze(1)).to(explained.forward.probability)


def density_response(curve: Curve, explained: Explained) -> Tensor:
    """The share [B,steps+1] of the saliency that the pixels reached before each step hold; NaN of a map of zeros."""
    at, steps, _ = curve.reached(explained)
    saliency = explained.saliency.double().clamp(min=0).flatten(1)
    at_step = saliency.new_zeros(len(saliency), steps + 1).scatter_add_(1, at.flatten(1).long(), saliency)
    before = at_step.cumsum(1) - at_step
    return before / at_step.sum(1, keepdim=True)


def area(curve: Curve, scores: Tensor) -> Tensor:
    """The trapezoidal area [B] of all points of curves [B,steps+1]."""
    return replace(curve, points="all", divisor="steps").area(scores, scores[:, 0])
