"""How much of the object a map covers, and how much of the map lies in the object: by area, mass and rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.metrics._objects import object_mask, share_inside, where_known
from camsbench.metrics._ranking import pixel_rank


@dataclass(frozen=True)
class IoU:
    """Intersection over union of the pixels whose saliency is at least a threshold with those of the object.

    ``iou`` is at ``threshold`` times the map's maximum; ``iou_best`` at the threshold that is best for the image, of
    all values that its map has, so that it is at least ``iou``. A constant map marks every pixel. NaN for images
    without a mask or box, or where the crop cut them off.

    Args:
        threshold: in shares of the map's maximum; 0.2 is that of CAM's boxes (Zhou et al. 2016, section 3.2).
    """

    threshold: float = 0.2
    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    columns: ClassVar[tuple[Column, ...]] = (
        Column("iou", "higher", percent=True, title="IoU"),
        Column("iou_best", "higher", percent=True, title="IoU/best"),
    )

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}: it must be in [0,1]")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        mask, saliency = object_mask(explained), explained.saliency[:, 0]
        marked = saliency >= self.threshold * saliency.amax((1, 2), keepdim=True)
        at = (marked & mask).sum((1, 2)).double() / (marked | mask).sum((1, 2))
        best = best_iou(saliency.flatten(1), mask.flatten(1))
        return {"iou": where_known(at, mask), "iou_best": where_known(best, mask)}


def best_iou(values: Tensor, inside: Tensor) -> Tensor:
    """The greatest IoU [B] of {value ≥ t} with ``inside`` [B,d], over all thresholds t, of ``values`` [B,d]."""
    ordered, order = values.sort(dim=1, descending=True)
    hits = inside.gather(1, order).cumsum(1)  # among the k greatest
    count = torch.arange(1, values.shape[1] + 1, device=values.device)
    iou = hits.double() / (count + inside.sum(1, keepdim=True) - hits)
    last = torch.ones_like(inside)  # of those that are equal: no threshold parts them
    last[:, :-1] = ordered[:, 1:] < ordered[:, :-1]
    return torch.where(last, iou, 0).amax(1)


@dataclass(frozen=True)
class RelevanceMass:
    """Relevance mass accuracy (Arras et al. 2022): Σ saliency inside the object / Σ saliency.

    Of a map without values below 0, which is what it was defined for, this is ``EnergyPointing``. Where bicubic
    interpolation makes such values they count with their sign (Quantus), and a map that sums to 0 has no value. NaN
    for images without a mask or box, or where the crop cut them off.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    columns: ClassVar[tuple[Column, ...]] = (Column("relevance_mass", "higher", percent=True, title="RelMass"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        mask = object_mask(explained)
        share = share_inside(explained.saliency[:, 0], mask)
        return {"relevance_mass": where_known(torch.where(share.isfinite(), share, torch.nan), mask)}


@dataclass(frozen=True)
class RelevanceRank:
    """Relevance rank accuracy (Arras et al. 2022): of the K most salient pixels the share inside the object's K pixels.

    In [0,1]. Of equal pixels the first in raster order goes first, as everywhere here (Quantus sorts them unstably).
    NaN for images without a mask or box, or where the crop cut them off.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    columns: ClassVar[tuple[Column, ...]] = (Column("relevance_rank", "higher", percent=True, title="RelRank"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        mask = object_mask(explained)
        size = mask.sum((1, 2))
        first = pixel_rank(explained.saliency)[:, 0] < size[:, None, None]
        return {"relevance_rank": where_known((first & mask).sum((1, 2)).double() / size, mask)}
