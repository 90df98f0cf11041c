"""Group-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from camsbench.core.saliency import size_of, upsample
from camsbench.core.scoring import head_gradient, score_inputs
from camsbench.core.types import About, Forward, Split
from camsbench.methods._channelwise import has_range, masked_scores, unit_maps


@dataclass(frozen=True)
class GroupCAM:
    """Group-CAM (Zhang et al. 2021, Eq. 2-8): ReLU(Σ_g ReLU(p_g − p_blur) M_g) over ``groups`` groups of channels.

    M_g = ReLU(Σ mean(∂y_c/∂A_k) A_k) over the g-th run of neighbouring channels; p_g is the probability of the image
    blended by N(U(M_g)) with its blurred self. As in the authors' current code the un-normalised M_g are summed and no
    threshold is applied; upsampling is linear, so the sum is left to the protocol to upsample.

    Args:
        groups: channels are cut into runs of ⌈K/groups⌉; where that does not divide K the last is smaller, or missing.
        kernel: side of the Gaussian blur, in pixels, odd.
        sigma: standard deviation of the blur, in pixels.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    groups: int = 32
    kernel: int = 51
    sigma: float = 50.0
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Group-CAM", "Zhang et al.", 2021, "score CAM")

    def __post_init__(self) -> None:
        if self.groups < 1 or self.kernel % 2 == 0 or self.sigma <= 0:
            raise ValueError(
                f"groups={self.groups}, kernel={self.kernel}, sigma={self.sigma}: "
                "groups must be at least 1, kernel odd and sigma above 0"
            )

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = self.maps(split, forward)  # [B,G,h,w]
        gain = self.gain(split, forward, maps).relu()
        return (gain[:, :, None, None] * maps).sum(1)

    def weight(self, split: Split, forward: Forward) -> Tensor:
        """The weight [B,K,1,1] of each channel in its group."""
        return head_gradient(split, forward).mean((2, 3), keepdim=True)

    def maps(self, split: Split, forward: Forward) -> Tensor:
        """The groups' maps M_g [B,G,h,w]."""
        runs = (self.weight(split, forward) * forward.A).chunk(self.groups, dim=1)
        return torch.stack([run.sum(1) for run in runs], dim=1).relu()

    def gain(self, split: Split, forward: Forward, maps: Tensor) -> Tensor:
        """p_g − p_blur [B,G], 0 for constant groups."""
        blurred = gaussian_blur(forward.x, [self.kernel, self.kernel], [self.sigma, self.sigma])
        baseline = score_inputs(split, lambda image, _: blurred[image], 1, forward.target)  # [B,1]
        gain = masked_scores(split, forward, maps, blurred) - baseline
        return torch.where(has_range(maps), gain, 0)


@dataclass(frozen=True)
class GroupCAMv0(GroupCAM):
    """Group-CAM as in its authors' code of June 2021 (wofmanaf/Group-CAM@cc85ed2).

    ReLU(Σ_g (p_g − p_blur) N(U(T(M_g)))): T sets a group's cells at or below its ``percentile`` to 0, the normalised
    maps are summed, and the ReLU is taken of the sum, not of each gain.

    Args:
        percentile: threshold of each group, in percent of its cells.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    percentile: float = 70.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.percentile < 100:
            raise ValueError(f"percentile={self.percentile}: it must be at least 0 and below 100")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = self.maps(split, forward)
        threshold = maps.flatten(2).quantile(self.percentile / 100, dim=2)[:, :, None, None]
        maps = torch.where(maps > threshold, maps, 0)
        gain = self.gain(split, forward, maps)[:, :, None, None]
        combined = (gain * unit_maps(split, forward, maps)).sum(1, keepdim=True)
        return upsample(combined, size_of(forward.x)).squeeze(1).relu()  # the ReLU is of the upsampled sum
