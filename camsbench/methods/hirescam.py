"""HiResCAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class HiResCAM:
    """HiResCAM (Draelos and Carin 2020): ReLU(Σ_k g_k ⊙ A_k), g the gradient of the target's logit, not averaged.

    The ReLU is the grad-cam library's, as in all of its methods.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("HiResCAM", "Draelos and Carin", 2020, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = head_gradient(split, forward)  # [B,K,h,w]
        return (gradient * forward.A).sum(1).relu()
