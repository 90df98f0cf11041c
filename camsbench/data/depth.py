"""Pictures of more than 8 bits a pixel at 8, as what is black and what is white in them says."""

from __future__ import annotations

import numpy as np
from PIL import Image

FULL = 65535  # of 16 bits
DARK = FULL // 2  # up to here the picture may be of fewer bits: cameras and scanners have 10 to 15


def to_bytes(image: Image.Image, scale: tuple[float, float] | None) -> Image.Image:
    """A grey picture of 16 or 32 bits a pixel at 8, others as they are: Pillow would cut off what is above 255.

    Args:
        image: the picture.
        scale: the values of black and of white, between which 256 greys lie evenly and beyond which there are none:
            [0,4095] drops the last four of 12 bits. None: 0 and 65535, of 16 bits alone.

    Raises:
        ValueError: nothing says what is black and what is white: of 32 bits or of decimal numbers, or of 16 where the
            brightest pixel is dark, so that the picture may have 12 bits.
    """
    deep = image.mode.startswith("I;16")
    if not deep and image.mode not in ("I", "F"):
        return image
    values = np.asarray(image)
    values = values.astype(np.uint16) if deep else values
    if scale is None:
        if not deep:
            kind = "whole" if image.mode == "I" else "decimal"
            raise ValueError(
                f"its pixels are {kind} numbers of 32 bits without a scale: say what is black and what is white with "
                "data.scale=[LOW,HIGH], or save it with 8 or 16 bits a pixel"
            )
        if values.max(initial=0) <= DARK:
            raise ValueError(
                f"its brightest pixel is {values.max(initial=0)} of 16 bits, so it may have fewer: say what is black "
                f"and what is white with data.scale=[0,4095] (12 bits), or data.scale=[0,{FULL}] where it is that dark"
            )
        return Image.fromarray((values >> 8).astype(np.uint8))
    if not np.isfinite(values).all():
        raise ValueError("some of its pixels are no numbers")
    low, high = scale
    if image.mode == "F":
        return Image.fromarray((((values - low) / (high - low)).clip(0, 1) * 255 + 0.5).astype(np.uint8))
    share = (values.astype(np.float64) - low) / (high - low + 1)  # of whole numbers each grey has as many
    return Image.fromarray((share * 256).clip(0, 255).astype(np.uint8))
