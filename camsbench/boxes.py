"""Boxes around the objects of a batch, in pixels of the network's input."""

from __future__ import annotations

import math
from collections.abc import Sequence

from camsbench.errors import CamsbenchError
from camsbench.preprocess import Box

Boxes = tuple[tuple[Box, ...], ...]
"""For each image of a batch its boxes."""


def checked(boxes: Sequence[Sequence[Sequence[float]]], images: int, height: int, width: int) -> Boxes:
    """A caller's boxes (xmin, ymin, xmax, ymax) for each of ``images`` images, clipped to the image.

    Boxes that lie outside the image are dropped; an image may have none.

    Raises:
        CamsbenchError: not one list of boxes an image, or a box that is not four ascending numbers.
    """
    if len(boxes) != images or not all(hasattr(of_image, "__iter__") for of_image in boxes):
        raise CamsbenchError(
            f"boxes must hold one list of boxes for each of the {images} images, an empty one where an image has none"
        )
    return tuple(
        tuple(box for box in (_clipped(b, i, height, width) for b in of_image) if box[0] < box[2] and box[1] < box[3])
        for i, of_image in enumerate(boxes)
    )


def _clipped(box: Sequence[float], image: int, height: int, width: int) -> Box:
    try:
        x0, y0, x1, y1 = (float(value) for value in box)
    except (TypeError, ValueError):
        x0 = y0 = x1 = y1 = math.nan
    if not (x0 < x1 and y0 < y1):  # NaN too
        raise CamsbenchError(
            f"boxes[{image}] holds {box}: give each box as (xmin, ymin, xmax, ymax) in pixels of the input, "
            "with xmin < xmax and ymin < ymax"
        )
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
