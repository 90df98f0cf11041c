"""The saliency metric: how small a crop around the salient pixels is, and how sure the network is of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.scoring import score_inputs
from camsbench.metrics._objects import box_around

SMALLEST = 0.05  # share of the image's area: a smaller crop counts as this


@dataclass(frozen=True)
class SaliencyMetric:
    """The saliency metric (Dabkowski and Gal 2017): log max(a, 0.05) − log p, natural logarithms, lower is better.

    The crop is the smallest box that holds all pixels whose saliency is at least ``threshold`` times the map's mean, or
    the greatest where none is; a is the share of the image that it has, and p the target's probability for it, resized
    to the size of the input without regard to its aspect (bilinear). One pass an image. A constant map's crop is the
    whole image. A probability that is rounded to 0 counts as the least number above it.

    The authors' code has no metric. That of Phang et al. (2020) takes the box around the largest region above the mean,
    and bicubic interpolation.

    Args:
        threshold: in means of the map. Which one serves a method best depends on how its maps spread.
    """

    threshold: float = 1.0
    needs: ClassVar[frozenset[str]] = frozenset({"confidence"})
    columns: ClassVar[tuple[Column, ...]] = (Column("saliency_metric", "lower", title="SM"),)

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold is {self.threshold}: it must be above 0")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        split, forward, saliency = explained.split, explained.forward, explained.saliency[:, 0]
        least = (self.threshold * saliency.mean((1, 2))).minimum(saliency.amax((1, 2)))
        box = box_around(saliency >= least[:, None, None])
        area = (box[:, 2:] - box[:, :2]).prod(1) / saliency[0].numel()
        p = score_inputs(split, lambda image, _: resized_crops(forward.x[image], box[image]), 1, forward.target)
        sure = p.squeeze(1).clamp(min=torch.finfo(p.dtype).tiny)
        return {"saliency_metric": area.clamp(min=SMALLEST).log() - sure.log()}


def resized_crops(x: Tensor, box: Tensor) -> Tensor:
    """Crops of images ``x`` [m,C,H,W] at ``box`` [m,4], each resized to H and W: bilinear, ``align_corners=False``."""
    places = []
    for axis, side in ((0, x.shape[3]), (1, x.shape[2])):
        low, high = box[:, axis, None].to(x), box[:, axis + 2, None].to(x)
        within = (torch.arange(side, device=x.device, dtype=x.dtype) + 0.5) / side * (high - low) + low
        places.append(within.clamp(low + 0.5, high - 0.5) * 2 / side - 1)  # nothing of the pixels around the crop
    columns, rows = places
    grid = torch.stack([columns[:, None].expand(-1, x.shape[2], -1), rows[:, :, None].expand(-1, -1, x.shape[3])], 3)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
