"""LayerCAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class LayerCAM:
    """LayerCAM (Jiang et al. 2021): ReLU(Σ_k ReLU(g_k) ⊙ A_k), a weight for each cell.

    Of one layer: the paper's tanh scaling serves to fuse maps of shallow layers and is not applied.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("LayerCAM", "Jiang et al.", 2021, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = head_gradient(split, forward)  # [B,K,h,w]
        return (gradient.relu() * forward.A).sum(1).relu()
