"""SmoothGrad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.noise import normal
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods.pixelwise import REDUCTIONS, reduce_channels, weighted_gradient


@dataclass(frozen=True)
class SmoothGrad:
    """SmoothGrad (Smilkov et al. 2017, section 3): the mean over ``n`` noisy inputs of the gradient ∂y_c/∂x.

    The noise is normal, with a standard deviation of ``sigma`` · (max x − min x) of each image in the network's
    normalised input space. The mean is of the signed gradients; its colour channels are reduced by the sum of
    magnitudes, as in the authors' saliency library (PAIR), which can also average squared gradients.

    Args:
        n: noisy copies an image.
        sigma: standard deviation of the noise, as a share of the image's range.
        reduce: over the colour channels: ``abs_sum``, ``abs_max`` or ``sum``.

    Returns:
        Raw map [B,H,W].
    """

    n: int = 50
    sigma: float = 0.15
    reduce: str = "abs_sum"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("SmoothGrad", "Smilkov et al.", 2017, "backpropagation")

    def __post_init__(self) -> None:
        if self.n < 1 or self.sigma < 0:
            raise ValueError(f"n={self.n} and sigma={self.sigma}: n must be at least 1 and sigma at least 0")
        check_choices(self, reduce=REDUCTIONS)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        x = forward.x
        deviation = self.sigma * (x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True))

        def copies(image: Sequence[int], copy: Sequence[int]) -> Tensor:
            return x[image] + deviation[image] * normal(forward, zip(image, copy, strict=True))

        mean = torch.full((self.n,), 1 / self.n, device=x.device, dtype=x.dtype)
        return reduce_channels(weighted_gradient(split, forward, copies, mean), self.reduce)
