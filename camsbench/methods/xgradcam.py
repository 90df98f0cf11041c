"""XGrad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class XGradCAM:
    """XGrad-CAM (Fu et al. 2020): ReLU(Σ_k w_k A_k), w_k = Σ_ij g_ij A_ij / Σ_ij A_ij.

    A channel whose activations sum to 0 gets the weight 0; torchcam adds 1e-8 to the sum, grad-cam 1e-7.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("XGrad-CAM", "Fu et al.", 2020, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = head_gradient(split, forward)  # [B,K,h,w]
        total = forward.A.sum((2, 3), keepdim=True)  # [B,K,1,1]
        share = (gradient * forward.A).sum((2, 3), keepdim=True)
        weight = torch.where(total == 0, 0, share / torch.where(total == 0, 1, total))
        return (weight * forward.A).sum(1).relu()
