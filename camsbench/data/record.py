"""One image of a run, wherever it lies, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any, Literal, Protocol

import numpy as np

from camsbench.core.preprocess import Box

LABEL = ":"
"""Between an image's id and its label, where the image has several and is explained once for each."""

Cell = str | float | int | bool | None
"""A value of a table's further columns."""


class ImageSource(Protocol):
    """An encoded image: a ``pathlib.Path``, or what lies in an archive, a shard or on a server.

    ``str(source)`` says where, ``name`` which file it was.
    """

    @property
    def name(self) -> str: ...

    def open(self, mode: Literal["rb"]) -> IO[Any]: ...


class MaskSource(Protocol):
    """The pixels of an object; ``str(mask)`` says where they come from, and differs where the pixels do."""

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Bool [height,width], of a picture of this size; raises ``ValueError`` where the mask is of another."""
        ...


class MapSource(Protocol):
    """A map of a picture that is known, not explained."""

    def pixels(self, width: int, height: int) -> np.ndarray:
        """Float [height,width], of a picture of this size; raises ``ValueError`` where the map is of another."""
        ...


@dataclass(frozen=True)
class Place:
    """Where in a picture the objects of a label are."""

    boxes: tuple[Box, ...] = ()
    mask: MaskSource | None = None


@dataclass(frozen=True)
class Record:
    """One image.

    Args:
        image_id: one an image.
        source: where its encoded bytes are.
        label: the class index; None where the image has no label, or several.
        boxes: in pixels of the picture, or in fractions of its sides where ``relative``.
        mask: the pixels of its object, for whoever has them instead of boxes.
        several: the labels of an image that has more than one, or boxes of more than one, with their places.
        cells: further columns of a table, which the rows take along.
        sides: the width and height in which its boxes are counted, where somebody wrote them down.
        truth: the share of each pixel in the evidence for its label, where that is known (``data=planted``).
        distractor: what a plausible but wrong map would show, where somebody says so.
        scale: what is black and what is white, in a picture of more than 8 bits a pixel.
    """

    image_id: str
    source: ImageSource
    label: int | None
    boxes: tuple[Box, ...] = ()
    relative: bool = False
    mask: MaskSource | None = None
    several: Mapping[int, Place] = field(default_factory=dict)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    scale: tuple[float, float] | None = None
    sides: tuple[int, int] | None = None
    truth: MapSource | None = None
    distractor: MapSource | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """Its label, or its several: none of an image that nobody labelled."""
        return tuple(self.several) if self.label is None else (self.label,)

    def placed(self, places: Mapping[int, Place]) -> Record:
        """The same image with these labels and their places: one alone becomes its ``label``, others ``several``."""
        if len(places) != 1:
            return replace(self, several=dict(places))
        ((label, place),) = places.items()
        return replace(self, label=label, boxes=place.boxes, mask=place.mask, several={})
