"""Masks of objects: in a picture, as polygons, or in runs of pixels as COCO writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from camsbench.data.fingerprint import encoded_length
from camsbench.data.polygons import fill
from camsbench.data.record import ImageSource, MaskSource


@dataclass(frozen=True)
class PictureMask:
    """The pixels of a picture that are not black, or those of certain ``values``: a palette's places, or greys."""

    source: ImageSource
    values: frozenset[int] | None = None

    def __str__(self) -> str:
        of = f" at {sorted(self.values)}" if self.values is not None else ""
        return f"mask {self.source.name} of {encoded_length(self.source)} bytes{of}"

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Bool [height,width].

        Raises:
            ValueError: it is of another size than the picture, is compressed with loss, or has colours where values
                are asked.
        """
        with self.source.open("rb") as file, Image.open(file) as image:
            if image.format == "JPEG":
                raise ValueError("it is a JPEG, whose pixels at the edges are mixed: save it as PNG")
            _refuse_other_size(image.size, (width, height))
            if self.values is not None:
                if image.mode not in ("P", "L", "1", "I", "I;16"):
                    raise ValueError(
                        f"it is {image.mode}: give one of a palette, or of greys, whose values are classes"
                    )
                return np.isin(np.asarray(image), list(self.values))
            if "A" in image.getbands() and (np.asarray(image.getchannel("A")) < 255).any():
                raise ValueError("it has transparent pixels, which are neither inside nor outside: save it without")
            colours = image.convert("RGB") if image.mode in ("P", "PA", "LA", "RGBA", "CMYK") else image
            values = np.asarray(colours) != 0
            return values if values.ndim == 2 else values.any(2)


@dataclass(frozen=True)
class NumberedMask:
    """The pixels of a colour picture whose red and green are a ``number``, R + 256·G: ImageNet-S's classes."""

    source: ImageSource
    number: int

    def __str__(self) -> str:
        return f"mask {self.source.name} of {encoded_length(self.source)} bytes at {self.number}"

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Bool [height,width]; raises ``ValueError`` where it is of another size than the picture or has no colours."""
        with self.source.open("rb") as file, Image.open(file) as image:
            _refuse_other_size(image.size, (width, height))
            if image.mode != "RGB":
                raise ValueError(f"it is {image.mode}: give one of colours, whose red and green are a class's number")
            red, green = (np.asarray(image)[..., channel].astype(int) for channel in (0, 1))
        return red + 256 * green == self.number


@dataclass(frozen=True)
class PolygonMask:
    """The inside of polygons, each of x and y after x and y, in a picture of ``width`` and ``height``."""

    polygons: tuple[tuple[float, ...], ...]
    width: int
    height: int

    def __str__(self) -> str:
        return f"polygons {_digest((self.polygons, self.width, self.height))}"

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Bool [height,width]: the pixels that are in any of them, as pycocotools counts them."""
        _refuse_other_size((self.width, self.height), (width, height))
        inside = np.zeros((height, width), dtype=bool)
        for polygon in self.polygons:
            inside |= fill(polygon, width, height)
        return inside


@dataclass(frozen=True)
class RunLengthMask:
    """COCO's runs, down a column and then the next: so many pixels outside, so many inside, and so on."""

    counts: tuple[int, ...] | str
    width: int
    height: int

    def __str__(self) -> str:
        return f"runs {_digest((self.counts, self.width, self.height))}"

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Bool [height,width]; raises ``ValueError`` where the runs do not fill the picture."""
        _refuse_other_size((self.width, self.height), (width, height))
        counts = decode(self.counts) if isinstance(self.counts, str) else list(self.counts)
        if min(counts, default=0) < 0 or sum(counts) != width * height:
            raise ValueError(f"its runs are of {sum(counts)} pixels, and the picture has {width * height}")
        inside = np.arange(len(counts)) % 2 == 1
        return np.repeat(inside, counts).reshape(width, height).T


@dataclass(frozen=True)
class AnyMask:
    """The pixels of any of several masks: all objects of a label."""

    masks: tuple[MaskSource, ...]

    def __str__(self) -> str:
        return " or ".join(map(str, self.masks))

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Bool [height,width]."""
        found: np.ndarray = np.logical_or.reduce([mask.pixels(width, height) for mask in self.masks])
        return found


def together(masks: Sequence[MaskSource | None]) -> MaskSource | None:
    """One mask of several objects; None where one of them has none, since its pixels would count as outside."""
    given = [mask for mask in masks if mask is not None]
    if not given or len(given) < len(masks):
        return None
    return given[0] if len(given) == 1 else AnyMask(tuple(given))


def decode(text: str) -> list[int]:
    """The run lengths in COCO's compressed text.

    Each character holds five bits of a number, the lowest first, and whether more follow; from the fourth number on it
    is the difference to the one before the last.

    Raises:
        ValueError: the text ends within a number, or has a character that is none of the code's.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"its runs have the character '{letter}', which COCO's do not")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("its runs end in the middle")
    return counts


def _refuse_other_size(own: tuple[int, int], asked: tuple[int, int]) -> None:
    if own != asked:
        raise ValueError(f"it is of {own[0]}x{own[1]} pixels, and the picture of {asked[0]}x{asked[1]}")


def _digest(content: object) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:16]
