"""From a picture file to the network's input: resize, centre crop, normalise; boxes go the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

Box = tuple[float, float, float, float]  # xmin, ymin, xmax, ymax


@dataclass(frozen=True)
class Preprocess:
    """A network's (or a protocol's) preprocessing.

    ``resize`` is the length of the shorter side in pixels, or ``[height, width]``; ``crop`` is the side of the centre
    crop in pixels; ``mean`` and ``std`` are per channel, for pixels in [0,1].
    """

    resize: int | Sequence[int]
    crop: int
    interpolation: str
    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if self.interpolation not in {"bilinear", "bicubic"}:
            raise ValueError(f"interpolation is '{self.interpolation}': it must be bilinear or bicubic")
        if not all(s > 0 for s in self.std):
            raise ValueError(f"std is {list(self.std)}: every value must be above 0")

    def pixels(self, image: Image.Image) -> Tensor:
        """The resized and cropped picture, uint8 [3,crop,crop].

        As torchvision reads it: the first frame of an animation, and not turned as its EXIF data may ask, to which
        neither published accuracies nor the boxes of ILSVRC2012 stand.
        """
        rgb = _in_bytes(image).convert("RGB")
        size = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        resized = TF.resize(rgb, size, interpolation=InterpolationMode(self.interpolation), antialias=True)
        return TF.pil_to_tensor(TF.center_crop(resized, [self.crop, self.crop]))

    def boxes(self, boxes: Sequence[Box], width: int, height: int) -> list[Box]:
        """Boxes in pixels of the original picture, carried into the crop and clipped; those outside are dropped."""
        new_h, new_w = self._resized(width, height)
        left, top = self._offset(new_w), self._offset(new_h)
        carried = []
        for xmin, ymin, xmax, ymax in boxes:
            x0, x1 = (min(max(x * new_w / width - left, 0), self.crop) for x in (xmin, xmax))
            y0, y1 = (min(max(y * new_h / height - top, 0), self.crop) for y in (ymin, ymax))
            if x1 > x0 and y1 > y0:
                carried.append((x0, y0, x1, y1))
        return carried

    def normalise(self, pixels: Tensor) -> Tensor:
        """Network input, float [B,3,H,W], of uint8 pixels [B,3,H,W] on the same device."""
        mean, std = self._statistics(pixels)
        return (pixels.float() / 255 - mean) / std

    def black(self, like: Tensor) -> Tensor:
        """The normalised value [1,3,1,1] of a black pixel, on the device of ``like``."""
        mean, std = self._statistics(like)
        return -mean / std

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(list(v), device=like.device).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return mean, std

    def _offset(self, side: int) -> int:
        """Where the crop begins in a side of the resized picture, as torchvision rounds; below 0 where it is padded."""
        return round((side - self.crop) / 2) if side >= self.crop else -((self.crop - side) // 2)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize[0], self.resize[1]
        if width <= height:
            return int(self.resize * height / width), self.resize
        return self.resize, int(self.resize * width / height)


def _in_bytes(image: Image.Image) -> Image.Image:
    """A picture of 16 bits a pixel at 8: Pillow would cut off what is above 255, not scale it.

    Raises:
        ValueError: a picture of 32 bits or of decimal numbers, of which nobody says what is black and what is white.
    """
    if image.mode in ("I", "F"):
        kind = "whole" if image.mode == "I" else "decimal"
        raise ValueError(f"its pixels are {kind} numbers of 32 bits without a scale: save it with 8 or 16 bits a pixel")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
