"""Where the object of an image is: its pixels, the boxes around it, and how much of a map lies in it."""

from __future__ import annotations

import torch
from torch import Tensor

from camsbench.core.explained import Explained
from camsbench.core.truth import object_pixels
from camsbench.errors import CamsbenchError


def check_objects(explained: Explained) -> None:
    """Refuse images of which nobody said where their objects are.

    Raises:
        CamsbenchError: there are neither boxes nor masks.
    """
    if not explained.forward.boxes and explained.forward.masks is None:
        raise CamsbenchError(
            "what is measured against objects needs the images' boxes: give evaluate(boxes=...), one list of boxes an "
            "image, or masks"
        )


def object_mask(explained: Explained) -> Tensor:
    """The pixels [B,H,W] of an image's object: its mask, or what is inside its boxes (``camsbench.core.boxes.inside``).

    Raises:
        CamsbenchError: nobody gave boxes or masks.
    """
    check_objects(explained)
    found = object_pixels(explained.forward)
    assert found is not None
    return found


def where_known(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` [B,...] with NaN for images that no pixel of ``mask`` [B,H,W] belongs to."""
    known = mask.flatten(1).any(1).view(-1, *[1] * (values.ndim - 1))
    return torch.where(known, values if values.is_floating_point() else values.float(), torch.nan)


def share_inside(saliency: Tensor, mask: Tensor) -> Tensor:
    """Σ saliency inside the mask / Σ saliency [B], of maps and masks [B,H,W]; NaN where the map sums to 0."""
    return torch.where(mask, saliency, 0).sum((1, 2)) / saliency.sum((1, 2))


def box_around(mask: Tensor) -> Tensor:
    """The smallest box [B,4] that holds the pixels of masks [B,H,W]: x0, y0, and x1, y1 behind the last; or zeros."""
    ends = []
    for lines in (mask.any(1), mask.any(2)):  # columns, rows
        first, last = lines.int().argmax(1), lines.flip(1).int().argmax(1)
        ends.append(torch.stack([first, lines.shape[1] - last], 1) * lines.any(1, keepdim=True))
    return torch.stack(ends, 2).flatten(1)
