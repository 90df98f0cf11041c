"""Element-wise Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class GradCAMElementWise:
    """Element-wise Grad-CAM (the grad-cam library's GradCAMElementWise): Σ_k ReLU(g_k ⊙ A_k).

    HiResCAM with the ReLU before the sum; where A ≥ 0 it is LayerCAM.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Element-wise Grad-CAM", "Gildenblat et al.", 2022, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = head_gradient(split, forward)  # [B,K,h,w]
        return (gradient * forward.A).relu().sum(1)
