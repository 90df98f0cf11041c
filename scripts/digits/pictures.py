"""Grey pictures of 64 x 64 with two or three handwritten digits on a texture, and the place of each.

The digits are scikit-learn's (8 x 8, of 43 writers). Every picture has a 3 or an 8, never both, and one or two others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor

T = TypeVar("T")
SIDE = 64
EITHER = (3, 8)
OTHERS = (0, 1, 2, 4, 5, 6, 7, 9)
SIDES = (16, 20, 24)  # of a digit, in pixels
TRAINING = 1400  # of scikit-learn's 1797 digits; the pictures that are measured show the rest
TEXTURES = {"fine": 32, "coarse": 8}  # knots of the noise on a side
INKS = {"strong": 0.55, "faint": 0.3}  # how much brighter than the texture a digit is


@dataclass(frozen=True)
class Digit:
    """A digit of a picture, and its box (xmin, ymin, xmax, ymax) in pixels."""

    value: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """Pixels [H,W] in [0,1], what is in them, and how they were made."""

    pixels: Tensor
    digits: tuple[Digit, ...]
    texture: str
    ink: str


class Painter:
    """Paints pictures, the same ones for a seed.

    Args:
        seed: of everything random.
        training: show the digits of training, or the others.
    """

    def __init__(self, seed: int, training: bool) -> None:
        data = load_digits()
        chosen = slice(None, TRAINING) if training else slice(TRAINING, None)
        images, values = torch.tensor(data.images[chosen]).float() / 16, data.target[chosen]
        self._written = {value: images[torch.tensor(values == value)] for value in range(10)}
        self._random = torch.Generator().manual_seed(seed)

    def paint(self) -> Picture:
        """The next picture."""
        texture, ink = self._one_of(list(TEXTURES)), self._one_of(list(INKS))
        pixels = self._texture(TEXTURES[texture])
        order = torch.randperm(len(OTHERS), generator=self._random).tolist()
        values = [self._one_of(EITHER), *(OTHERS[i] for i in order[: 1 + self._below(2)])]
        digits: list[Digit] = []
        for value in values:
            box = self._free_place(digits)
            x0, y0, x1, y1 = box
            written = self._one_of(list(self._written[value]))[None, None]
            shape = F.interpolate(written, (y1 - y0, x1 - x0), mode="bicubic", align_corners=False)[0, 0].clamp(0, 1)
            pixels[y0:y1, x0:x1] += INKS[ink] * shape
            digits.append(Digit(value, box))
        return Picture(pixels.clamp(0, 1), tuple(digits), texture, ink)

    def _texture(self, knots: int) -> Tensor:
        noise = torch.rand(1, 1, knots, knots, generator=self._random)
        return 0.15 + 0.35 * F.interpolate(noise, (SIDE, SIDE), mode="bicubic", align_corners=False)[0, 0].clamp(0, 1)

    def _free_place(self, digits: list[Digit]) -> tuple[int, int, int, int]:
        """A box that touches none of the digits that are there."""
        while True:
            side = self._one_of(SIDES)
            x, y = self._below(SIDE - side + 1), self._below(SIDE - side + 1)
            box = (x, y, x + side, y + side)
            if all(_apart(box, other.box) for other in digits):
                return box

    def _one_of(self, choices: Sequence[T]) -> T:
        return choices[self._below(len(choices))]

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (), generator=self._random))


def _apart(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
