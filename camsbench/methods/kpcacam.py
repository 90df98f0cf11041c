"""KPCA-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods.components import centred_cells, signed

KERNELS = ("sigmoid", "rbf", "poly", "linear")


@dataclass(frozen=True)
class KPCACAM:
    """KPCA-CAM (Karmani et al. 2024): Eigen-CAM with kernel PCA, the first component √λ·u of the centred kernel matrix.

    The kernels are those of scikit-learn, which grad-cam calls: sigmoid tanh(γ⟨a,b⟩ + 1), rbf exp(−γ|a − b|²), poly
    (γ⟨a,b⟩ + 1)³, linear ⟨a,b⟩ (which is Eigen-CAM), between centred cells. The sign is the one that grows with the
    total activation (``components.signed``), where scikit-learn's makes the largest entry positive. Double
    precision throughout, for a sigmoid of weak activations is nearly flat. A ReLU ends it.

    Args:
        kernel: ``sigmoid``, ``rbf``, ``poly`` or ``linear``.
        gamma: γ of the first three; None takes 1/K for K channels.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    kernel: str = "sigmoid"
    gamma: float | None = None
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("KPCA-CAM", "Karmani et al.", 2024, "activation CAM")

    def __post_init__(self) -> None:
        check_choices(self, kernel=KERNELS)
        if self.gamma is not None and self.gamma <= 0:
            raise ValueError(f"gamma is {self.gamma}: it must be above 0, or null for 1/K")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        A = forward.A

        def component(chunk: slice) -> Tensor:
            cells = centred_cells(A[chunk])  # [b,hw,K]
            kernel = self._matrix(cells)  # [b,hw,hw]
            rows = kernel.mean(2, keepdim=True)
            values, vectors = torch.linalg.eigh(kernel - rows - rows.mT + rows.mean(1, keepdim=True))  # ascending
            first = vectors[:, :, -1] * values[:, -1:].clamp(min=0).sqrt()  # a sigmoid may have no λ above 0
            return signed(first, cells).view(-1, *A.shape[2:]).to(A.dtype)

        return in_micro_batches(split.micro_batch, len(A), component).relu()

    def _matrix(self, cells: Tensor) -> Tensor:
        gamma = self.gamma or 1 / cells.shape[2]
        product = cells @ cells.mT
        if self.kernel == "linear":
            return product
        if self.kernel == "rbf":
            square = product.diagonal(dim1=1, dim2=2)
            return torch.exp(-gamma * (square[:, :, None] + square[:, None] - 2 * product).clamp(min=0))
        affine = gamma * product + 1
        return affine.tanh() if self.kernel == "sigmoid" else affine**3
