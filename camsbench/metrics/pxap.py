"""PxAP: the average precision of a map's pixels as a classifier of the object's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from camsbench.core.columns import CURVE, Column, OfMeans
from camsbench.core.explained import Explained
from camsbench.metrics._objects import object_mask, where_known

INSIDE, OUTSIDE = "pxap_inside_curve", "pxap_outside_curve"


def average_precision(inside: Tensor, outside: Tensor) -> Tensor:
    """Σ precision · growth of recall [R] as thresholds fall, of the pixels inside and outside an object [R,T].

    Each counts (or is the mean number of) pixels at or above T ascending thresholds, the first of which all pixels
    reach. NaN where there is no pixel inside.
    """
    inside, outside = inside.flip(1), outside.flip(1)
    all_ = inside + outside
    precision = torch.where(all_ > 0, inside / all_, 0)
    return (precision * inside.diff(dim=1, prepend=torch.zeros_like(inside[:, :1]))).sum(1) / inside[:, -1]


POOLED = OfMeans((CURVE + INSIDE, CURVE + OUTSIDE), average_precision, "over the pixels of all images together")


@dataclass(frozen=True)
class PxAP:
    """PxAP (Choe et al. 2020): the area under the pixels' curve of precision and recall, over thresholds.

    The published number pools the pixels of all images before it takes precision and recall, so that large objects
    count more; tables do so from the curves ``pxap_inside_curve`` and ``pxap_outside_curve`` [B,T], the numbers of
    pixels of the object, and of others, whose saliency is at least each threshold. A row is the same of its image
    alone; ``pxap_mean`` is the mean of the rows.

    As in wsolevaluation, a precision holds for the recall down to the threshold above (no trapezoids). That leaves out
    pixels that its masks mark to be ignored; masks here have no such pixels, and an image without an object, whose
    pixels it would count as others, counts not at all. NaN for these.

    Args:
        interval: the thresholds are 0, interval, 2·interval, ... below 1, and 1.
    """

    interval: float = 0.001
    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    columns: ClassVar[tuple[Column, ...]] = (
        Column("pxap", "higher", reduce=(POOLED, "mean"), percent=True, title="PxAP"),
    )

    def __post_init__(self) -> None:
        if not 0 < self.interval < 1:
            raise ValueError(f"interval is {self.interval}: it must be between 0 and 1")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        mask = object_mask(explained)
        saliency = explained.saliency[:, 0].double().clamp(0, 1).flatten(1)
        thresholds = torch.from_numpy(np.append(np.arange(0, 1, self.interval), 1.0)).to(saliency.device)
        inside, outside = (
            where_known(reached(torch.where(own.flatten(1), saliency, -1), thresholds), mask) for own in (mask, ~mask)
        )
        return {"pxap": average_precision(inside, outside), INSIDE: inside, OUTSIDE: outside}


def reached(values: Tensor, thresholds: Tensor) -> Tensor:
    """How many [B,T] of the values [B,d] are at or above each of the thresholds [T]."""
    below = torch.searchsorted(values.sort(dim=1).values, thresholds.expand(len(values), -1).contiguous())
    return (values.shape[1] - below).double()
