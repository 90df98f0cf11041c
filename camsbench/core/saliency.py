"""From a raw map to a saliency: resize, normalise, and what a constant map becomes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.passes import at_least_single
from camsbench.errors import check_choices

ORDERS = ("upsample_then_normalise", "normalise_then_upsample")
INTERPOLATIONS = ("bilinear", "bicubic", "pil_bicubic")


def size_of(x: Tensor) -> tuple[int, int]:
    """Height and width of images [B,3,H,W]."""
    return x.shape[2], x.shape[3]


def upsample(maps: Tensor, size: tuple[int, int], interpolation: str = "bilinear") -> Tensor:
    """Maps [B,C,h,w] resized to [B,C,H,W] with ``align_corners=False``.

    ``bicubic`` is PyTorch's (a = −0.75, the border repeated); ``pil_bicubic`` is Pillow's (a = −0.5, weights beyond the
    border left out). Neither is clamped.
    """
    if maps.shape[-2:] == size:
        return maps
    if interpolation == "pil_bicubic":  # with antialias PyTorch takes Pillow's kernel, also where it scales up
        return F.interpolate(maps, size=size, mode="bicubic", align_corners=False, antialias=True)
    return F.interpolate(maps, size=size, mode=interpolation, align_corners=False)


def normalise(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Min-max of each map over its last two axes, and which maps have no range.

    Maps whose maximum equals their minimum (or that hold NaN or infinity) become zeros and are flagged; no epsilon is
    added anywhere, since a softmax map's own range can be smaller than any epsilon.
    """
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    span = high - low
    flat = ~((span > 0) & span.isfinite())  # also True where span is NaN
    unit = (maps - low) / torch.where(flat, 1, span)
    return torch.where(flat, 0, unit), flat.squeeze((-2, -1))


@dataclass(frozen=True)
class SaliencyRule:
    """How a protocol turns a raw map into a saliency of the image's size.

    ``upsample_then_normalise`` (Petsiuk et al. 2018) ends in exactly [0,1]; ``normalise_then_upsample`` (Poppi et al.
    2021; Byun and Lee) lies within it for bilinear and may leave it a little for bicubic interpolation.
    """

    order: str = ORDERS[0]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check_choices(self, order=ORDERS, interpolation=INTERPOLATIONS)

    def __call__(self, raw: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Saliency [B,1,H,W] of raw maps [B,h,w], and which of them are degenerate [B]."""
        maps = at_least_single(raw[:, None])
        unit, flat = normalise(maps)
        if self.order == "normalise_then_upsample":
            return upsample(unit, size, self.interpolation), flat.squeeze(1)
        saliency, _ = normalise(upsample(maps, size, self.interpolation))
        # a constant map is not quite constant any more once it is interpolated: judge the raw one
        return torch.where(flat[..., None, None], 0, saliency), flat.squeeze(1)
