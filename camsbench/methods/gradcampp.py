"""Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class GradCAMpp:
    """Grad-CAM++ (Chattopadhay et al. 2018, Eq. 5, 19): w_k = Σ_ij α_ij ReLU(g_ij), α = g²/(2g² + ΣA·g³).

    Only cells with g > 0 count, and there α·ReLU(g) = ReLU(g)/(2 + ReLU(g)·ΣA): the same value, without the 0/0 that
    the literal formula has wherever g = 0 (libraries part in how they patch it).

    Args:
        epsilon: what is added to α's denominator, in units of g²: 0, or grad-cam's 1e-6, which is of g²'s own size.
        divide: without, α stays g² and w_k = ΣReLU(g)³: torchcam 0.5 divides a copy and loses the quotient.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    epsilon: float = 0.0
    divide: bool = True
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Grad-CAM++", "Chattopadhay et al.", 2018, "gradient CAM")

    def __post_init__(self) -> None:
        if self.epsilon < 0:
            raise ValueError(f"epsilon={self.epsilon}: it must be at least 0")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return self.map_of(forward.A, head_gradient(split, forward))

    def map_of(self, A: Tensor, gradient: Tensor) -> Tensor:
        """The raw map [B,h,w] of activations and the gradient of the target's score by them, each [B,K,h,w]."""
        positive = gradient.relu()
        if not self.divide:
            terms = positive.pow(3)
        elif self.epsilon > 0:
            terms = positive.pow(3) / (
                2 * positive.pow(2) + A.sum((2, 3), keepdim=True) * positive.pow(3) + self.epsilon
            )
        else:
            terms = positive / (2 + positive * A.sum((2, 3), keepdim=True))
        return (terms.sum((2, 3), keepdim=True) * A).sum(1).relu()
