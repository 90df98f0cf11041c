"""Random parts of an image taken away: what the map says of them, and what the network loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from camsbench.core.explained import Explained
from camsbench.core.noise import normal_at
from camsbench.core.scoring import score_inputs
from camsbench.core.types import Forward
from camsbench.metrics._ranking import descending_rank, mean_rank
from camsbench.metrics._substrate import substrate_of
from camsbench.metrics.adcc import correlation

KINDS = ("pearson", "spearman")

Removed = Callable[[Tensor, Tensor], Tensor]
"""``(image[m], copy[m]) -> [m,1,H,W]`` bool: the pixels that copy ``copy[j]`` of image ``image[j]`` lacks."""


def sums_and_losses(
    explained: Explained, removed: Removed, copies: int, substrate: str, probability: bool
) -> tuple[Tensor, Tensor]:
    """Σ saliency over the removed pixels, and f(x) − f(x without them), each [B,copies] in double precision.

    f is the confidence where ``probability``, else the score; what is removed is the ``substrate``.
    """
    split, forward, saliency = explained.split, explained.forward, explained.saliency.double()
    other = substrate_of(substrate, split, forward)
    sums = saliency.new_zeros(len(saliency), copies)

    def perturb(image: Tensor, copy: Tensor) -> Tensor:
        gone = removed(image, copy)
        sums[image, copy] = (saliency[image] * gone).sum((1, 2, 3))  # set, not added: a retry sets it again
        return torch.where(gone, other[image], forward.x[image])

    scores = score_inputs(split, perturb, copies, forward.target, probability=probability)
    before = forward.probability if probability else forward.score
    return sums, before.double()[:, None] - scores.double()


def subsets(streams: Forward, units: int, sizes: Sequence[int]) -> Callable[[Tensor, Tensor], Tensor]:
    """``(image[m], copy[m]) -> [m,units]`` bool: ``sizes[copy]`` of the units, all such subsets alike likely.

    From each image's own stream, made when they are needed.
    """
    size = torch.tensor(list(sizes), device=streams.x.device)

    def chosen(image: Tensor, copy: Tensor) -> Tensor:
        return descending_rank(normal_at(streams, image, copy, (units,))) < size[copy, None]

    return chosen


def correlate(a: Tensor, b: Tensor, kind: str) -> Tensor:
    """Pearson's or Spearman's ρ [B] of samples [B,n]; NaN where one of them is constant."""
    varies = (a.amax(1) > a.amin(1)) & (b.amax(1) > b.amin(1))
    found = correlation(a, b) if kind == "pearson" else correlation(mean_rank(a), mean_rank(b))
    return torch.where(varies, found, torch.nan)
