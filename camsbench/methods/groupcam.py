"""Group-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from camsbench.methods.channelwise import masked_scores
from camsbench.scoring import head_gradient, score_inputs
from camsbench.types import About, Forward, Split


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
        weight = head_gradient(split, forward.A, forward.target).mean((2, 3), keepdim=True)
        runs = (weight * forward.A).chunk(self.groups, dim=1)
        maps = torch.stack([run.sum(1) for run in runs], dim=1).relu()  # [B,G,h,w]
        blurred = gaussian_blur(forward.x, [self.kernel, self.kernel], [self.sigma, self.sigma])
        baseline = score_inputs(split, lambda image, _: blurred[image], 1, forward.target)  # [B,1]
        gain = (masked_scores(split, forward, maps, blurred) - baseline).relu()  # [B,G], 0 for constant groups
        return (gain[:, :, None, None] * maps).sum(1)
