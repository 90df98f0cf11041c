"""Occlusion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.saliency import size_of
from camsbench.core.scoring import score_inputs
from camsbench.core.types import About, Forward, Split


def windows(length: int, window: int, stride: int, like: Tensor) -> Tensor:
    """The positions [n,length] of a sliding window along one axis, 1 inside; the last may stick out and is cut."""
    count = -(-(length - window) // stride) + 1
    start = torch.arange(count, device=like.device)[:, None] * stride
    cell = torch.arange(length, device=like.device)
    return ((cell >= start) & (cell < start + window)).to(like.dtype)


@dataclass(frozen=True)
class Occlusion:
    """Occlusion (Zeiler and Fergus 2014, section 4.2): how much p_c falls when a window hides a part of the image.

    The map at a pixel is the mean fall p_c(x) − p_c(x occluded) over the windows that cover it, as in captum's
    Occlusion (whose forward function would be the softmax). The paper gives neither window nor stride; the defaults are
    those of captum's examples.

    Args:
        window: side of the square window, in pixels.
        stride: step between windows, in pixels, at most ``window``.
        baseline: what the window shows, in units of the normalised input; 0 is the mean colour, grey.

    Returns:
        Raw map [B,H,W], negative where hiding helps.

    Raises:
        ValueError: also when called with an image smaller than the window.
    """

    window: int = 15
    stride: int = 8
    baseline: float = 0.0
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Occlusion", "Zeiler and Fergus", 2014, "input perturbation")

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.window:
            raise ValueError(
                f"window={self.window} and stride={self.stride}: stride must be at least 1 and at most window"
            )

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        height, width = size_of(forward.x)
        if self.window > min(height, width):
            raise ValueError(f"window={self.window}: it must fit into the images, which are {height}x{width} pixels")
        rows = windows(height, self.window, self.stride, forward.x)  # [r,H]
        columns = windows(width, self.window, self.stride, forward.x)  # [s,W]

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            hidden = rows[copy // len(columns), :, None] * columns[copy % len(columns), None]  # [m,H,W]
            return torch.where(hidden[:, None] > 0, self.baseline, forward.x[image])

        scores = score_inputs(split, perturb, len(rows) * len(columns), forward.target)
        fall = (forward.probability[:, None] - scores).view(-1, len(rows), len(columns))
        return rows.T @ fall @ columns / torch.outer(rows.sum(0), columns.sum(0))
