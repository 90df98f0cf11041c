"""Coherency, complexity, and their harmonic mean with the drop: ADCC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.explained import Explained
from camsbench.metrics.drop import drop


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's ρ [B] of two maps [B,...]; NaN where one of them is constant."""
    a, b = (m.flatten(1) - m.flatten(1).mean(1, keepdim=True) for m in (a.double(), b.double()))
    scale = a.norm(dim=1) * b.norm(dim=1)
    return ((a * b).sum(1) / scale).clamp(-1, 1).float()


def coherency(explained: Explained) -> Tensor:
    """(ρ + 1)/2 [B] between the saliency and the saliency of the masked image; 0 where ρ is not defined."""
    rho = correlation(explained.saliency, explained.masked_saliency)
    return ((rho + 1) / 2).nan_to_num(nan=0)


def complexity(explained: Explained) -> Tensor:
    """Mean absolute value [B] of the saliency."""
    return explained.saliency.abs().mean((1, 2, 3))


def harmonic(drop: Tensor, coherency: Tensor, complexity: Tensor) -> Tensor:
    """ADCC = 3/(1/coherency + 1/(1 − complexity) + 1/(1 − drop)) (Poppi et al. 2021, Eq. 9); 0 when a term is 0."""
    terms = torch.stack([coherency, 1 - complexity, 1 - drop])
    return torch.where((terms <= 0).any(0), 0, 3 / (1 / terms).sum(0))


@dataclass(frozen=True)
class Coherency:
    """Coherency (Poppi et al. 2021, Eq. 6-7): explaining the explanation gives it again. In [0,1]."""

    columns: ClassVar[Mapping[str, str]] = {"coherency": "higher"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"coherency": coherency(explained)}


@dataclass(frozen=True)
class Complexity:
    """Complexity (Poppi et al. 2021, Eq. 8): mean |saliency|, at the image's size. In [0,1]."""

    columns: ClassVar[Mapping[str, str]] = {"complexity": "lower"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"complexity": complexity(explained)}


@dataclass(frozen=True)
class ADCC:
    """ADCC of each image (Poppi et al. 2021, Eq. 9). Papers print the harmonic mean of the *dataset's* means instead.

    Both stand in the summary: this one as ``adcc_mean``, the published reading as ``adcc``.
    """

    columns: ClassVar[Mapping[str, str]] = {"adcc": "higher"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"adcc": harmonic(drop(explained), coherency(explained), complexity(explained))}
