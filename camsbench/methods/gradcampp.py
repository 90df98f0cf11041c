"""Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.scoring import head_gradient
from camsbench.types import About, Forward, Split


@dataclass(frozen=True)
class GradCAMpp:
    """Grad-CAM++ (Chattopadhay et al. 2018, Eq. 5, 19): w_k = Σ_ij α_ij ReLU(g_ij), α = g²/(2g² + ΣA·g³).

    Only cells with g > 0 count, and there α·ReLU(g) = ReLU(g)/(2 + ReLU(g)·ΣA): the same value, without the 0/0 that
    the literal formula has wherever g = 0 (libraries part in how they patch it).

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Grad-CAM++", "Chattopadhay et al.", 2018, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        A = forward.A
        positive = head_gradient(split, A, forward.target).relu()  # [B,K,h,w]
        total = A.sum((2, 3), keepdim=True)  # [B,K,1,1]
        weight = (positive / (2 + positive * total)).sum((2, 3), keepdim=True)
        return (weight * A).sum(1).relu()
