"""Fake-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class FakeCAM:
    """Fake-CAM (Poppi et al. 2021): 1 in every pixel of the image but the top left one, which is 0.

    It explains nothing, and drop and coherency call it nearly perfect: a control of the metrics.

    Returns:
        Raw map [B,H,W] of the image's size.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Fake-CAM", "Poppi et al.", 2021, "control")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = torch.ones_like(forward.x[:, 0])
        maps[:, 0, 0] = 0
        return maps
