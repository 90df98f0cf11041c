"""What Eigen-CAM, Eigen-Grad-CAM and KPCA-CAM share: the cells of a feature map, and the sign of a component."""

from __future__ import annotations

import torch
from torch import Tensor

SAME = 1e-5  # of its size: what a sum over channels in single precision owes to rounding


def centred_cells(maps: Tensor) -> Tensor:
    """The cells of ``maps`` [B,K,h,w] less their mean, as points [B,hw,K] in double precision.

    Maps that hold NaN or infinity, which no decomposition accepts, become zeros: their saliency is degenerate.
    """
    finite = maps.isfinite().all(3).all(2).all(1)[:, None, None, None]
    cells = torch.where(finite, maps, 0).double().flatten(2).mT
    return cells - cells.mean(1, keepdim=True)


def signed(component: Tensor, cells: Tensor) -> Tensor:
    """``component`` [B,hw], or its negative: the one that grows with the cells' sum over channels Σ_k (not falls).

    A decomposition leaves the sign open. This rule is deterministic, the same for any batch, device and library, and
    shows the cells with more of what was decomposed (activation, or evidence for the class) as the positive ones.
    Behind a norm over the channels their sum may be the same in every cell, up to rounding: then the side is positive
    on which fewer cells stand out (Σ of the cubes).
    """
    grows = (component * cells.sum(2)).sum(1, keepdim=True)
    size = component.norm(dim=1, keepdim=True) * cells.flatten(1).norm(dim=1, keepdim=True)
    falls = torch.where(grows.abs() > SAME * size, grows, component.pow(3).sum(1, keepdim=True)) < 0
    return torch.where(falls, -component, component)


def first_component(maps: Tensor) -> Tensor:
    """Each cell of ``maps`` [B,K,h,w] projected on the first principal component of the cells: [B,h,w]."""
    cells = centred_cells(maps)
    u, s, _ = torch.linalg.svd(cells, full_matrices=False)
    return signed(u[:, :, 0] * s[:, :1], cells).view(-1, *maps.shape[2:]).to(maps.dtype)
