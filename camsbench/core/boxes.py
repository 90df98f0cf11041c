"""Boxes around the objects of a batch, in pixels of the network's input."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from camsbench.core.preprocess import Box
from camsbench.errors import CamsbenchError

Boxes = tuple[tuple[Box, ...], ...]
"""For each image of a batch its boxes."""


def clip_boxes(boxes: Sequence[Sequence[Sequence[float]]], images: int, height: int, width: int) -> Boxes:
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


def inside(boxes: Boxes, like: Tensor) -> Tensor:
    """The pixels of ``like`` [B,1,H,W] whose centre lies in a box of their image, bool [B,H,W].

    Pixel (row i, column j) has its centre at (j + ½, i + ½); a box holds its left and upper edge, not the others. So
    whole-numbered boxes hold xmax − xmin columns, as TorchRay's masks do. A pixel in several boxes counts once.
    """
    longest = max(1, *(len(of_image) for of_image in boxes))
    empty: Box = (0.0, 0.0, 0.0, 0.0)
    padded = [list(of_image) + [empty] * (longest - len(of_image)) for of_image in boxes]
    x0, y0, x1, y1 = torch.tensor(padded, device=like.device)[..., None].unbind(2)  # each [B,n,1]
    row, column = (torch.arange(side, device=like.device) + 0.5 for side in like.shape[2:])
    in_rows = ((y0 <= row) & (row < y1)).float()  # [B,n,H]
    in_columns = ((x0 <= column) & (column < x1)).float()  # [B,n,W]
    return in_rows.transpose(1, 2) @ in_columns > 0
