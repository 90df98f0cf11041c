"""The edges of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class Edges:
    """The magnitude of the Sobel gradient of the picture's brightness: what a map shows that sees edges alone.

    It does not look at the network (Adebayo et al. 2018 compare maps with an edge detector). Brightness is the mean
    over the channels of the normalised image, whose border is repeated.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Edges", "Adebayo et al.", 2018, "control")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        grey = F.pad(forward.x.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
        across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]).to(grey)
        both = F.conv2d(grey, torch.stack([across, across.T])[:, None])  # [B,2,H,W]
        return both.square().sum(1).sqrt()
