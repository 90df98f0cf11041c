"""How alike two maps are: Spearman, SSIM, and the correlation of histograms of oriented gradients."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import Tensor

from camsbench.metrics.adcc import correlation

HOG_CELL, HOG_BLOCK, SSIM_WINDOW = 16, 3, 11  # pixels, cells, pixels


def ranks(maps: Tensor) -> Tensor:
    """Rank [B,H·W] of each pixel of maps [B,...] on the host; ties share their mean rank."""
    return torch.from_numpy(rankdata(maps.flatten(1).numpy(), axis=1))


def spearman(ranks_a: Tensor, ranks_b: Tensor) -> Tensor:
    """Spearman's ρ [B] of maps whose ranks [B,H·W] are given; NaN where one of them is constant."""
    return correlation(ranks_a, ranks_b)


def ssim(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Structural similarity of two maps [H,W] whose range is 1: Gaussian window 11, σ 1.5 (Wang et al. 2004).

    NaN for maps smaller than the window.
    """
    if min(a.shape) < SSIM_WINDOW:
        return float("nan")
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    return float(structural_similarity(a, b, **options))


def gradients(a: NDArray[np.float32]) -> Tensor:
    """Histograms of oriented gradients of a map [H,W]: 9 orientations, cells of 16×16 pixels, blocks of 3×3 cells.

    A single NaN for maps smaller than a block.
    """
    if min(a.shape) < HOG_CELL * HOG_BLOCK:
        return torch.full((1,), torch.nan)
    return torch.from_numpy(hog(a, pixels_per_cell=(HOG_CELL, HOG_CELL), cells_per_block=(HOG_BLOCK, HOG_BLOCK)))
