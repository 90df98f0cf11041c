"""What Score-CAM, Abs-CAM and Group-CAM share: the score of the image under each of a few low-resolution masks."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.passes import at_least_single, in_micro_batches
from camsbench.core.saliency import normalise, size_of, upsample
from camsbench.core.scoring import score_inputs
from camsbench.core.types import Forward, Split

MASKS = ("upsample_then_normalise", "normalise_then_upsample", "align_corners", "as_is")
"""How maps become masks: N(U(M)); U(N(M)); N(U(M)) with U's corners aligned; or U(M) of maps that lie in [0,1]."""


def has_range(maps: Tensor) -> Tensor:
    """Which maps [B,K,h,w] are not constant [B,K]: a constant map masks nothing and costs no pass."""
    return maps.amax((2, 3)) > maps.amin((2, 3))


def alike(maps: Tensor, mask: str = MASKS[0]) -> Tensor:
    """For each map of ``maps`` [B,K,h,w] the first of its image that masks alike [B,K], itself where it is the first.

    Maps that are the same bit by bit once normalised mask the same (``as_is``: that are the same), so that one pass
    scores them all. Such are the channels that fire in one cell alone, and the same one: behind EfficientNet-Lite0's
    last ReLU6 about a tenth of those that vary.
    """
    images, count = maps.shape[:2]
    place = torch.arange(images * count, device=maps.device)
    unit = at_least_single(maps if mask == "as_is" else normalise(maps)[0]).flatten(2)
    image = torch.arange(images, device=maps.device)[:, None, None].expand(-1, count, 1)
    _, kind = torch.cat([image, unit], 2).flatten(0, 1).unique(dim=0, return_inverse=True)
    first = torch.full_like(place, len(place)).scatter_reduce_(0, kind, place, "amin")
    return (first[kind] % count).view(images, count)


def score_alike_once(split: Split, maps: Tensor, mask: str, copies: int, score: Callable[[Tensor], Tensor]) -> Tensor:
    """Scores [B,K·copies] of ``copies`` perturbed images a map of ``maps`` [B,K,h,w], which depend on its mask alone.

    ``score(keep)`` scores those of the maps that vary, with short cuts one of each kind (see ``alike``).
    """
    keep = has_range(maps)
    if not split.options.short_cuts:
        every = keep.repeat_interleave(copies, 1)
        return torch.where(every, score(every), 0)
    first = alike(maps, mask)
    own = keep & (first == torch.arange(first.shape[1], device=first.device))
    scores = score(own.repeat_interleave(copies, 1)).unflatten(1, (-1, copies))
    scores = scores.gather(1, first[..., None].expand_as(scores))
    return torch.where(keep[..., None], scores, 0).flatten(1)


def masks_of(maps: Tensor, size: tuple[int, int], mask: str = MASKS[0]) -> Tensor:
    """Masks [m,1,H,W] of maps [m,h,w], as ``mask`` of ``MASKS`` says."""
    low = maps[:, None]
    if mask == "upsample_then_normalise":
        return normalise(upsample(low, size))[0]
    if mask == "normalise_then_upsample":
        return upsample(normalise(low)[0], size)
    if mask == "align_corners":
        return normalise(F.interpolate(low, size, mode="bilinear", align_corners=True))[0]
    return upsample(low, size)


def masked_scores(
    split: Split,
    forward: Forward,
    maps: Tensor,
    substrate: Tensor | None = None,
    mask: str = MASKS[0],
    probability: bool = True,
) -> Tensor:
    """p_c(N(U(M_k)) ⊙ x + (1 − N(U(M_k))) ⊙ substrate) for each map of ``maps`` [B,K,h,w]: [B,K].

    The masks are upsampled bilinearly and normalised inside the micro-batch. Constant maps score 0, and maps that mask
    alike are scored once. Without ``substrate`` [B,3,H,W] the rest of the image is 0 in the network's normalised input
    space. ``mask`` is one of ``MASKS``; without ``probability`` the score is the logit.
    """

    def perturb(image: Tensor, copy: Tensor) -> Tensor:
        masks = masks_of(maps[image, copy], size_of(forward.x), mask)  # [m,1,H,W]
        x = forward.x[image].mul_(masks)  # in place of the copy that indexing made
        return x if substrate is None else x + substrate[image] * (1 - masks)

    def score(keep: Tensor) -> Tensor:
        return score_inputs(split, perturb, keep.shape[1], forward.target, keep, probability)

    return score_alike_once(split, maps, mask, 1, score)


def upsampled_range(split: Split, forward: Forward, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Least and greatest value [B,K,1,1] of U(M_k) for maps [B,K,h,w], which may lie inside those of M_k."""
    flat = maps.flatten(0, 1)[:, None]

    def work(chunk: slice) -> Tensor:
        large = upsample(flat[chunk], size_of(forward.x))
        return torch.stack([large.amin((1, 2, 3)), large.amax((1, 2, 3))], 1)

    ends = in_micro_batches(split.micro_batch, len(flat), work).view(*maps.shape[:2], 2, 1, 1)
    return ends[:, :, 0], ends[:, :, 1]


def unit_maps(split: Split, forward: Forward, maps: Tensor) -> Tensor:
    """Maps [B,K,h,w] whose upsampling is N(U(M_k)), zeros for constant ones.

    U is linear, so N's shift and scale may go first, and sums of N(U(M_k)) be taken at the maps' own size.
    """
    low, high = upsampled_range(split, forward, maps)
    varies = (high > low) & has_range(maps)[:, :, None, None]
    return torch.where(varies, (maps - low) / torch.where(varies, high - low, 1), 0)
