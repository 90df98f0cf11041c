"""Coherency, complexity, and their harmonic mean with the drop: ADCC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column, OfMeans
from camsbench.core.explained import RESOLUTIONS, SPACES, Explained
from camsbench.errors import check_choices
from camsbench.metrics.drop import Drop


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's ρ [B] of two maps [B,...]; NaN where one of them is constant."""
    a, b = (m.flatten(1) - m.flatten(1).mean(1, keepdim=True) for m in (a.double(), b.double()))
    scale = a.norm(dim=1) * b.norm(dim=1)
    return ((a * b).sum(1) / scale).clamp(-1, 1).float()


def harmonic_mean(*terms: Tensor) -> Tensor:
    """n/Σ(1/t) [B] of n terms [B] that are better when higher; 0 when one of them is 0."""
    together = torch.stack(terms)
    return torch.where((together <= 0).any(0), 0, len(terms) / (1 / together).sum(0))


def harmonic(drop: Tensor, coherency: Tensor, complexity: Tensor) -> Tensor:
    """ADCC = 3/(1/coherency + 1/(1 − complexity) + 1/(1 − drop)) (Poppi et al. 2021, Eq. 9); 0 when a term is 0."""
    return harmonic_mean(coherency, 1 - complexity, 1 - drop)


CORRELATIONS = ("shifted", "absolute")

AS_PRINTED = OfMeans(
    ("drop", "coherency", "complexity"), harmonic, words="harmonic mean of the means, as papers print it"
)


@dataclass(frozen=True)
class Coherency:
    """Coherency (Poppi et al. 2021, Eq. 6-7): explaining the explanation gives it again. In [0,1].

    (ρ + 1)/2 between the saliency and the saliency of the image under it (the soft mask, whatever drop's is); 0 where
    ρ is not defined.

    Args:
        resolution: ``image``: saliencies of the image's size; ``map``: min-maxed raw maps.
        space: what the mask multiplies, see ``camsbench.core.explained``.
        correlation: ``shifted``: (ρ + 1)/2; ``absolute``: |ρ|, as the authors' public code until 24 June 2021 (commit
            cfc0e39 of aimagelab/ADCC) and their earlier harness.
    """

    resolution: str = "image"
    space: str = "normalised"
    correlation: str = CORRELATIONS[0]
    columns: ClassVar[tuple[Column, ...]] = (Column("coherency", "higher", percent=True, title="Coher"),)

    def __post_init__(self) -> None:
        check_choices(self, resolution=RESOLUTIONS, space=SPACES, correlation=CORRELATIONS)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        rho = correlation(
            explained.saliency_at(self.resolution), explained.masked_saliency_at(self.resolution, self.space)
        )
        return {"coherency": ((rho + 1) / 2 if self.correlation == "shifted" else rho.abs()).nan_to_num(nan=0)}


@dataclass(frozen=True)
class Complexity:
    """Complexity (Poppi et al. 2021, Eq. 8): mean |saliency|. In [0,1] for a saliency in [0,1].

    Args:
        resolution: ``image``: of the saliency at the image's size; ``map``: of the min-maxed raw map.
    """

    resolution: str = "image"
    columns: ClassVar[tuple[Column, ...]] = (Column("complexity", "lower", percent=True, title="Compl"),)

    def __post_init__(self) -> None:
        check_choices(self, resolution=RESOLUTIONS)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"complexity": explained.saliency_at(self.resolution).abs().mean((1, 2, 3))}


@dataclass(frozen=True)
class ADCC(Drop):
    """ADCC of each image (Poppi et al. 2021, Eq. 9). Papers print the harmonic mean of the *dataset's* means instead.

    Both stand in the summary: this one as ``adcc_mean``, the published reading as ``adcc``. Its parts are those of
    ``Drop``, ``Coherency`` and ``Complexity`` with the same settings.
    """

    resolution: str = "image"
    correlation: str = CORRELATIONS[0]
    columns: ClassVar[tuple[Column, ...]] = (
        Column("adcc", "higher", reduce=(AS_PRINTED, "mean"), percent=True, title="ADCC"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, resolution=RESOLUTIONS, correlation=CORRELATIONS)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        drop = super().__call__(explained)["drop"]
        coherency = Coherency(self.resolution, self.space, self.correlation)(explained)["coherency"]
        complexity = Complexity(self.resolution)(explained)["complexity"]
        return {"adcc": harmonic(drop, coherency, complexity)}
