"""How few pixels a map names: the Gini index, and the entropy of the map as a distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained


@dataclass(frozen=True)
class Sparseness:
    """Sparseness (Chalasani et al. 2020): the Gini index Σ_k (2k − d − 1) a_(k) / (d Σ_k a_(k)) of |saliency|.

    The a_(k) are the d pixels in ascending order. In [0,1): 0 for a flat map, 1 − 1/d for a single pixel. NaN where the
    saliency is all zero. Quantus' ``Sparseness`` adds 1e-7 to each pixel of the map divided by its maximum.
    """

    columns: ClassVar[tuple[Column, ...]] = (Column("sparseness", "higher"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        ordered = explained.saliency.double().abs().flatten(1).sort(1).values  # [B,d]
        count = ordered.shape[1]
        weight = 2 * torch.arange(1, count + 1, device=ordered.device) - count - 1
        return {"sparseness": ((weight * ordered).sum(1) / (count * ordered.sum(1))).float()}


@dataclass(frozen=True)
class Entropy:
    """Complexity of Bhatt et al. (2020): the entropy −Σ P ln P of P = |saliency| / Σ|saliency|, in nats.

    From 0, a single pixel, to ln d, a flat map of d pixels (10.8 for 224×224). NaN where the saliency is all zero.
    Quantus calls it ``Complexity`` and adds 1e-12 inside the logarithm. (``complexity`` here is that of ADCC.)
    """

    columns: ClassVar[tuple[Column, ...]] = (Column("entropy", "lower"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        share = explained.saliency.double().abs().flatten(1)
        share = share / share.sum(1, keepdim=True)  # 0/0 is NaN, which the sum keeps
        return {"entropy": -torch.special.xlogy(share, share).sum(1).float()}
