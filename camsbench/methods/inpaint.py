"""Inpainters: what fills the hole when a method removes a region of an image.

Outside ``methods/`` since a classical inpainter works on the host: OpenCV takes and gives 8-bit arrays there.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from camsbench.errors import CamsbenchError


class Inpainter(Protocol):
    """Fills holes of images: any network or algorithm that has this one call."""

    def __call__(self, images: Tensor, hole: Tensor) -> Tensor:
        """Images like ``images`` [m,3,H,W] (RGB, in [0,1]) whose pixels where ``hole`` [m,1,H,W] is 1 are made up.

        What is given back outside the hole is not used. Each image must be filled on its own, without randomness.
        """
        ...


@dataclass(frozen=True)
class TeleaInpainter:
    """Telea's fast marching method (2004), from OpenCV: the hole is filled from its rim inwards.

    Works on 8-bit pixels, so that what it fills is a multiple of 1/255. Only the hole and a rim are handed to OpenCV,
    which gives the same pixels as handing it the whole image, in a fraction of the time.

    Args:
        radius: how far the filled pixel looks around, in pixels.

    Raises:
        CamsbenchError: OpenCV is not installed.
    """

    radius: int = 3

    def __post_init__(self) -> None:
        if self.radius < 1:
            raise ValueError(f"radius={self.radius}: it must be at least 1")
        if importlib.util.find_spec("cv2") is None:
            raise CamsbenchError(
                "inpainting by Telea's method needs OpenCV, which is not installed: pip install 'camsbench[inpaint]'"
            )

    def __call__(self, images: Tensor, hole: Tensor) -> Tensor:
        pixels = (images.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        holes = hole.squeeze(1).to(torch.uint8).cpu().numpy()
        filled = np.stack([self._fill(*pair) for pair in zip(pixels, holes, strict=True)])
        return torch.from_numpy(filled).to(images.device).permute(0, 3, 1, 2).to(images.dtype) / 255

    def _fill(self, image: np.ndarray, hole: np.ndarray) -> np.ndarray:
        import cv2

        rows, columns = (np.flatnonzero(hole.any(axis)) for axis in (1, 0))
        if len(rows) == 0:
            return image
        rim = 2 * self.radius + 4  # the march looks `radius` outside the hole, and its gradients a little further
        part = tuple(slice(max(int(at[0]) - rim, 0), int(at[-1]) + 1 + rim) for at in (rows, columns))
        filled = image.copy()
        inside = np.ascontiguousarray(hole[part])
        for channels in [slice(3)] if image.shape[2] == 3 else range(image.shape[2]):  # OpenCV takes one or three
            cropped = np.ascontiguousarray(image[*part, channels])
            filled[*part, channels] = cv2.inpaint(cropped, inside, self.radius, cv2.INPAINT_TELEA)
        return filled
