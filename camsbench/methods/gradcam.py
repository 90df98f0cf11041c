"""Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class GradCAM:
    """Grad-CAM (Selvaraju et al. 2017, Eq. 1-2): ReLU(Σ_k mean(g_k) A_k), g the gradient of the target's logit.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Grad-CAM", "Selvaraju et al.", 2017, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return self.map_of(forward.A, head_gradient(split, forward))

    def map_of(self, A: Tensor, gradient: Tensor) -> Tensor:
        """The raw map [B,h,w] of activations and the gradient of the target's score by them, each [B,K,h,w]."""
        weight = gradient.mean((2, 3), keepdim=True)  # [B,K,1,1]
        return (weight * A).sum(1).relu()
