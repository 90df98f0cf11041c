"""A Gaussian in the middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class CenterGaussian:
    """A Gaussian in the middle of every image, of its shape: where photographers put things (Judd et al. 2012).

    It does not look at the network: a control of metrics on photographs, whose objects are often in the middle.

    Args:
        sigma: its standard deviation, as a share of each side.

    Returns:
        Raw map [B,H,W].
    """

    sigma: float = 0.25
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Centred Gaussian", "Judd et al.", 2012, "control")

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma}: it must be above 0")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        down, across = (
            torch.exp(-(((torch.arange(side, device=forward.x.device) + 0.5) / side - 0.5) ** 2) / (2 * self.sigma**2))
            for side in forward.x.shape[2:]
        )
        return torch.outer(down, across).to(forward.x).expand(len(forward.x), -1, -1)
