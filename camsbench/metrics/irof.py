"""IROF: the target's probability while whole segments of the image go, the most relevant first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.scoring import score_inputs
from camsbench.core.types import Forward, Split
from camsbench.errors import check_choices
from camsbench.metrics._ranking import descending_rank
from camsbench.metrics._segments import slic_segments
from camsbench.metrics._substrate import SUBSTRATES, substrate_of


@dataclass(frozen=True)
class IROF:
    """IROF (Rieger and Hansen 2020): the area over the curve of p_c(x without l segments)/p_c(x), l = 0 … L.

    Segments are SLIC's, of the picture; they go in the descending order of their mean saliency (ties by their number),
    each replaced by the image's mean colour. The trapezoidal area is divided by L, so that images of more segments do
    not count for more: 1 where the first segment takes all of the probability, 0 where none takes any, below 0 where
    the probability rises. NaN where p_c(x) is 0.

    Quantus' ``IROF`` gives L times the area without its first point, asks SLIC for segments of the normalised image,
    and fills with one grey, the mean of all values of the batch as it is by then; version 0.6 refuses images of more
    than one channel unless it is given a ``perturb_func``.

    One pass a segment, without short cuts ``segments`` passes an image at least. SLIC runs on the host, once an image
    for all methods.

    Args:
        segments: how many SLIC is asked for; it makes about so many.
        compactness: of SLIC: how much nearness counts beside colour.
        substrate: what stands where a segment is removed, see ``camsbench.metrics._substrate``.
    """

    segments: int = 100
    compactness: float = 10.0
    substrate: str = "image_mean"
    needs: ClassVar[frozenset[str]] = frozenset({"confidence"})
    columns: ClassVar[tuple[Column, ...]] = (Column("irof", "higher"),)

    def __post_init__(self) -> None:
        check_choices(self, substrate=SUBSTRATES)
        if not isinstance(self.segments, int) or self.segments < 2:
            raise ValueError(f"segments is {self.segments}: give a whole number from 2 up")
        if not self.compactness > 0:
            raise ValueError(f"compactness is {self.compactness}: it must be above 0")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        key = f"slic {self.segments} {self.compactness}"
        made = explained.forward.once(key, lambda: self.segments_of(explained.split, explained.forward))
        ratios, count = self.ratios(explained, made)
        within = torch.arange(ratios.shape[1], device=ratios.device) < count[:, None]  # l = 1 … L
        last = ratios.gather(1, count[:, None] - 1).squeeze(1)
        under = torch.where(within, ratios, 0).sum(1) + (1 - last) / 2
        return {"irof": 1 - under / count}

    def ratios(self, explained: Explained, segments: Tensor) -> tuple[Tensor, Tensor]:
        """p_c(x without the first l segments)/p_c(x) [B,most] for l from 1 on, and the number L [B] of segments.

        ``most`` is the number that SLIC is asked for, or the largest that it made; the ratios beyond L are 0.
        """
        split, forward = explained.split, explained.forward
        labels = segments.flatten(1)  # [B,H·W]
        count = labels.amax(1) + 1
        most = max(self.segments, int(count.max()))  # one number, of what SLIC made on the host
        saliency = explained.saliency.double().flatten(1)
        pixels = saliency.new_zeros(len(labels), most).scatter_add_(1, labels, torch.ones_like(saliency))
        mean = saliency.new_zeros(len(labels), most).scatter_add_(1, labels, saliency) / pixels
        rank = descending_rank(mean.nan_to_num(nan=-torch.inf))
        goes = rank.gather(1, labels).view_as(segments)[:, None]  # [B,1,H,W]
        other = substrate_of(self.substrate, split, forward)

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            return torch.where(goes[image] <= copy[:, None, None, None], other[image], forward.x[image])

        kept = torch.arange(most, device=count.device) < count[:, None]
        scores = score_inputs(split, perturb, most, forward.target, keep=kept)
        before = forward.probability[:, None]
        return torch.where(before > 0, scores / before, torch.nan), count

    def segments_of(self, split: Split, forward: Forward) -> Tensor:
        """The segment [B,H,W] that each pixel lies in, from 0 on without a gap."""
        return slic_segments(split.preprocess.picture(forward.x), self.segments, self.compactness)
