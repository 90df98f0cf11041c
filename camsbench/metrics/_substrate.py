"""What takes a pixel's place when it is deleted, or has not been inserted yet."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from camsbench.core.scoring import score_inputs
from camsbench.core.types import Forward, Split

SUBSTRATES = ("zero", "black", "image_mean", "rise_blur", "gaussian_blur")


@lru_cache
def rise_kernel(side: int = 11, sigma: float = 5.0) -> Tensor:
    """RISE's blur kernel [side,side]: a Gaussian-filtered delta, whose mass scipy reflects at the kernel's border."""
    delta = np.zeros((side, side))
    delta[side // 2, side // 2] = 1
    return torch.from_numpy(gaussian_filter(delta, sigma)).float()


def substrate(kind: str, split: Split, x: Tensor) -> Tensor:
    """The substrate [B,3,H,W] of normalised images ``x`` [B,3,H,W].

    ``zero``: 0 in normalised space, the mean colour of the training set (Petsiuk et al. 2018, deletion).
    ``black``: a black pixel (Poppi et al. 2021). ``image_mean``: each image's own mean colour (ReciproCAM's author,
    insertion). ``rise_blur``: RISE's kernel (11, σ 5), zero-padded (Petsiuk et al. 2018, insertion).
    ``gaussian_blur``: kernel 51, σ 50, reflected (Zhang et al. 2021, Group-CAM).
    """
    if kind == "zero":
        return torch.zeros_like(x)
    if kind == "black":
        return split.preprocess.black(x).expand_as(x)
    if kind == "image_mean":
        return x.mean((2, 3), keepdim=True).expand_as(x)
    if kind == "rise_blur":
        kernel = rise_kernel().to(x).expand(x.shape[1], 1, -1, -1)
        return torch.nn.functional.conv2d(x, kernel, padding=kernel.shape[-1] // 2, groups=x.shape[1])
    return gaussian_blur(gaussian_blur(x, [51, 1], [50.0, 50.0]), [1, 51], [50.0, 50.0])  # one axis at a time: 25× less


def substrate_of(kind: str, split: Split, forward: Forward) -> Tensor:
    """The substrate [B,3,H,W] of a batch's images, made once for all methods."""
    return forward.once(f"substrate {kind}", lambda: substrate(kind, split, forward.x))


def bare_probability(kind: str, split: Split, forward: Forward) -> Tensor:
    """The target's probability [B] for the bare substrate: one pass an image, for all methods."""
    other = substrate_of(kind, split, forward)

    def score() -> Tensor:
        return score_inputs(split, lambda image, _: other[image], 1, forward.target).squeeze(1)

    return forward.once(f"probability of substrate {kind}", score)
