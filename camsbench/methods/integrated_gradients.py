"""Integrated gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods.pixelwise import REDUCTIONS, reduce_channels, weighted_gradient


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients (Sundararajan et al. 2017, Eq. 1-3): x ⊙ ∫ ∂y_c/∂x(αx) dα over α in [0,1].

    The baseline is 0 in the network's normalised input space, and the integral a Gauss-Legendre sum of ``n`` points,
    as in captum; Eq. 3 is a Riemann sum. y_c is the target's logit. The colour channels are reduced by the sum of
    magnitudes, as in the saliency library of the paper's group (PAIR).

    Args:
        n: points on the path.
        reduce: over the colour channels: ``abs_sum``, ``abs_max``, or ``sum`` (signed: it adds up to y_c(x) − y_c(0)).

    Returns:
        Raw map [B,H,W].
    """

    n: int = 50
    reduce: str = "abs_sum"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Integrated gradients", "Sundararajan et al.", 2017, "backpropagation")

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n={self.n}: it must be at least 1")
        check_choices(self, reduce=REDUCTIONS)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        nodes, weights = np.polynomial.legendre.leggauss(self.n)  # on [-1,1]
        alpha = torch.as_tensor((1 + nodes) / 2).to(forward.x)  # [n]
        weight = torch.as_tensor(weights / 2).to(forward.x)

        def copies(image: Sequence[int], copy: Sequence[int]) -> Tensor:
            return forward.x[image] * alpha[copy][:, None, None, None]

        return reduce_channels(forward.x * weighted_gradient(split, forward, copies, weight), self.reduce)
