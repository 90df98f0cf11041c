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
MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # Pillow's names of pictures, by their channels


@dataclass(frozen=True)
class Preprocess:
    """A network's (or a protocol's) preprocessing.

    ``resize`` is the length of the shorter side in pixels, or ``[height, width]``; ``crop`` is the side of the centre
    crop in pixels, or its ``[height, width]``; ``mean`` and ``std`` are per channel, for pixels in [0,1]: one of grey
    images, three of colour, four of colour and a fourth channel (RGBA).
    """

    resize: int | Sequence[int]
    crop: int | Sequence[int]
    interpolation: str
    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        if self.interpolation not in {"bilinear", "bicubic"}:
            raise ValueError(f"interpolation is '{self.interpolation}': it must be bilinear or bicubic")
        if not all(s > 0 for s in self.std):
            raise ValueError(f"std is {list(self.std)}: every value must be above 0")
        if len(self.mean) not in MODES or len(self.mean) != len(self.std):
            raise ValueError(
                f"mean is {list(self.mean)} and std {list(self.std)}: give 1, 3 or 4 values each, one a channel"
            )
        for name, sides in (("resize", self.resize), ("crop", self.crop)):
            if not _are_sides(sides):
                raise ValueError(f"{name} is {sides}: give pixels from 1 up, or [height, width]")

    @property
    def channels(self) -> int:
        """Of the network's input."""
        return len(self.mean)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""
        return (self.crop, self.crop) if isinstance(self.crop, int) else (self.crop[0], self.crop[1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""
        return (self.channels, *self.size)

    def pixels(self, image: Image.Image) -> Tensor:
        """The resized and cropped picture of 8 bits a channel, uint8 [C,H,W].

        As torchvision reads it: the first frame of an animation, and not turned as its EXIF data may ask, to which
        neither published accuracies nor the boxes of ILSVRC2012 stand.

        Raises:
            ValueError: the network takes four channels, and the picture does not have them.
        """
        if self.channels == 4:
            if image.mode != "RGBA":
                raise ValueError(f"it is {image.mode}, and the network takes four channels: save it as RGBA")
            return torch.cat([self._cut(band) for band in image.split()])  # Pillow would weigh colours by the fourth
        return self._cut(image.convert(MODES[self.channels]))

    def mask(self, inside: Image.Image) -> Tensor:
        """A mask of the picture (mode ``L``, 0 outside) as the crop shows it, bool [H,W]: no pixel is mixed."""
        return self._cut(inside, InterpolationMode.NEAREST)[0] > 0

    def map(self, values: np.ndarray) -> Tensor:
        """A map [height,width] of the picture's pixels as the crop shows it, float [H,W]: no pixel is mixed."""
        return self._cut(Image.fromarray(values.astype(np.float32)), InterpolationMode.NEAREST)[0]

    def _cut(self, image: Image.Image, interpolation: InterpolationMode | None = None) -> Tensor:
        size = [self.resize] if isinstance(self.resize, int) else list(self.resize)
        mode = interpolation or InterpolationMode(self.interpolation)
        resized = TF.resize(image, size, interpolation=mode, antialias=True)
        return TF.pil_to_tensor(TF.center_crop(resized, list(self.size)))

    def boxes(self, boxes: Sequence[Box], width: int, height: int) -> list[Box]:
        """Boxes in pixels of the original picture, carried into the crop and clipped; those outside are dropped."""
        new_h, new_w = self._resized(width, height)
        crop_h, crop_w = self.size
        left, top = _offset(new_w, crop_w), _offset(new_h, crop_h)
        carried = []
        for xmin, ymin, xmax, ymax in boxes:
            x0, x1 = (min(max(x * new_w / width - left, 0), crop_w) for x in (xmin, xmax))
            y0, y1 = (min(max(y * new_h / height - top, 0), crop_h) for y in (ymin, ymax))
            if x1 > x0 and y1 > y0:
                carried.append((x0, y0, x1, y1))
        return carried

    def normalise(self, pixels: Tensor) -> Tensor:
        """Network input, float [B,C,H,W], of uint8 pixels [B,C,H,W] on the same device."""
        mean, std = self._statistics(pixels)
        return (pixels.float() / 255 - mean) / std

    def picture(self, x: Tensor) -> Tensor:
        """The pictures [B,C,H,W], in [0,1], that network input ``x`` was made of: what ``normalise`` undoes."""
        mean, std = self._statistics(x)
        return x * std.to(x) + mean.to(x)

    def black(self, like: Tensor) -> Tensor:
        """The normalised value [1,C,1,1] of a black pixel, on the device and in the precision of ``like``."""
        mean, std = self._statistics(like)
        return (-mean / std).to(like)

    def _statistics(self, like: Tensor) -> tuple[Tensor, Tensor]:
        mean, std = (torch.tensor(list(v), device=like.device).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return mean, std

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize[0], self.resize[1]
        if width <= height:
            return int(self.resize * height / width), self.resize
        return self.resize, int(self.resize * width / height)


def _are_sides(sides: object) -> bool:
    """Whether this is a length, or a height and a width."""
    each = [sides] if isinstance(sides, int) else list(sides) if isinstance(sides, Sequence) else []
    pair = not isinstance(sides, int)
    return len(each) == (2 if pair else 1) and all(type(side) is int and side > 0 for side in each)


def _offset(side: int, crop: int) -> int:
    """Where the crop begins in a side of the resized picture, as torchvision rounds; below 0 where it is padded."""
    return round((side - crop) / 2) if side >= crop else -((crop - side) // 2)
