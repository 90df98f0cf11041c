"""Eigen-Grad-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split
from camsbench.methods._components import first_component


@dataclass(frozen=True)
class EigenGradCAM:
    """Eigen-Grad-CAM (the grad-cam library's EigenGradCAM): g ⊙ A projected on its first principal component.

    Eigen-CAM made to depend on the class. Centred and cut at 0 as there; the sign is the one that grows with the
    evidence Σ_k g_k ⊙ A_k (``components.signed``), where grad-cam's is whatever NumPy's SVD returns.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Eigen-Grad-CAM", "Gildenblat et al.", 2021, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        evidence = head_gradient(split, forward) * forward.A  # [B,K,h,w]
        return in_micro_batches(split.micro_batch, len(evidence), lambda chunk: first_component(evidence[chunk])).relu()
