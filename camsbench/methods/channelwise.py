"""What Score-CAM, Abs-CAM and Group-CAM share: the score of the image under each of a few low-resolution masks."""

from __future__ import annotations

from torch import Tensor

from camsbench.maps import normalise, size_of, upsample
from camsbench.scoring import score_inputs
from camsbench.types import Forward, Split


def has_range(maps: Tensor) -> Tensor:
    """Which maps [B,K,h,w] are not constant [B,K]: a constant map masks nothing and costs no pass."""
    return maps.amax((2, 3)) > maps.amin((2, 3))


def masked_scores(split: Split, forward: Forward, maps: Tensor, substrate: Tensor | None = None) -> Tensor:
    """p_c(N(U(M_k)) ⊙ x + (1 − N(U(M_k))) ⊙ substrate) for each map of ``maps`` [B,K,h,w]: [B,K].

    The masks are upsampled bilinearly and normalised inside the micro-batch. Constant maps score 0. Without
    ``substrate`` [B,3,H,W] the rest of the image is 0 in the network's normalised input space.
    """
    size = size_of(forward.x)

    def perturb(image: Tensor, copy: Tensor) -> Tensor:
        mask, _ = normalise(upsample(maps[image, copy][:, None], size))  # [m,1,H,W]
        x = forward.x[image] * mask
        return x if substrate is None else x + substrate[image] * (1 - mask)

    return score_inputs(split, perturb, maps.shape[1], forward.target, keep=has_range(maps))
