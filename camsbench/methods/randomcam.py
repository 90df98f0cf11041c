"""A random map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class RandomCAM:
    """A random map: every cell uniform in [0,1), from the image's own random stream. A control of the metrics.

    The masked image has another stream and so another map: this control's coherency is near 1/2. grad-cam's RandomCAM
    draws a weight a channel in [−1,1) instead, whose map still shows where the network is active.

    Returns:
        Raw map [B,h,w] of the target layer's size.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Random", "Gildenblat et al.", 2021, "control")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        size = forward.A.shape[2:]
        draws = [torch.rand(size, generator=torch.Generator().manual_seed(seed)) for seed in forward.seeds]
        return torch.stack(draws).to(forward.x.device)
