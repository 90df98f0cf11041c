"""How alike two maps are: Spearman, SSIM, and the correlation of histograms of oriented gradients, on the host."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.feature import hog
from skimage.metrics import structural_similarity
from torch import Tensor

from camsbench.core.saliency import SaliencyRule, size_of, upsample
from camsbench.metrics.adcc import correlation

SIMILARITIES = ("spearman", "abs_spearman", "ssim", "hog")
HOG_CELL, HOG_BLOCK, SSIM_WINDOW = 16, 3, 11  # pixels, cells, pixels


@dataclass(frozen=True)
class MapFeatures:
    """One map of each image, on the host, as the similarities need it."""

    ranks: Tensor  # [B,H·W] of the upsampled raw map
    abs_ranks: Tensor  # [B,H·W] of its magnitude
    saliency: Tensor  # [B,H,W]
    gradients: Tensor  # [B,n]
    defined: Tensor  # [B] bool: neither constant nor NaN

    @classmethod
    def of(cls, raw: Tensor, saliency: Tensor, degenerate: Tensor, rule: SaliencyRule) -> MapFeatures:
        """From raw maps [B,h,w], their saliency [B,1,H,W], and which of them are degenerate [B]."""
        large = upsample(raw[:, None].float(), size_of(saliency), rule.interpolation)
        together = torch.cat([large, saliency.float(), degenerate.float().view(-1, 1, 1, 1).expand_as(large)], 1)
        host = together.detach().cpu()  # one copy a randomised layer: Spearman, SSIM and HOG run on the host
        defined = (host[:, 2, 0, 0] == 0) & host[:, 0].isfinite().all(2).all(1)
        signed = torch.where(defined[:, None, None], host[:, 0], 0)
        histograms = torch.stack([gradients(one.numpy()) for one in host[:, 1]])
        return cls(ranks(signed), ranks(signed.abs()), host[:, 1], histograms, defined)


def similarities(a: MapFeatures, b: MapFeatures) -> dict[str, Tensor]:
    """The four similarities [B] of two maps of each image, in double precision; NaN where a map is degenerate."""
    pairs = zip(a.saliency.numpy(), b.saliency.numpy(), strict=True)
    found = {
        "spearman": spearman(a.ranks, b.ranks),
        "abs_spearman": spearman(a.abs_ranks, b.abs_ranks),
        "ssim": torch.tensor([ssim(one, other) for one, other in pairs]),
        "hog": correlation(a.gradients, b.gradients),
    }
    defined = a.defined & b.defined
    return {name: torch.where(defined, values.double(), torch.nan) for name, values in found.items()}


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
