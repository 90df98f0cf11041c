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
        return self.map_of(forward.A, head_gradient(split, forward))

    def map_of(self, A: Tensor, gradient: Tensor) -> Tensor:
        """The raw map [B,h,w] of activations and the gradient of the target's score by them, each [B,K,h,w]."""
        return (gradient.relu() * A).sum(1).relu()
