"""What is known of a batch's images beside what the network says: where their objects are, and what is evidence."""

from __future__ import annotations

import torch
from torch import Tensor

from camsbench.core.boxes import inside
from camsbench.core.types import Forward
from camsbench.errors import CamsbenchError


def object_pixels(forward: Forward) -> Tensor | None:
    """The pixels [B,H,W], bool, of each image's object: its mask, or what is inside its boxes; None without either."""
    boxes, masks, like = forward.boxes, forward.masks, forward.x[:, :1]
    if not boxes and masks is None:
        return None
    found = torch.zeros_like(like[:, 0], dtype=torch.bool) if masks is None else masks
    return found | inside(boxes, like) if boxes else found


def truth_of(forward: Forward) -> Tensor:
    """The ideal maps [B,H,W], float: shares of the evidence where they are known, else 1 on the object and 0 beside it.

    NaN for an image of which neither is known.

    Raises:
        CamsbenchError: nobody gave truth, boxes or masks.
    """
    found = object_pixels(forward)
    if forward.truth is None and found is None:
        raise CamsbenchError(
            "the truth of these images is not known: give evaluate(truth=...), boxes or masks, or use data with them"
        )
    maps = torch.full_like(forward.x[:, 0], torch.nan) if forward.truth is None else forward.truth.to(forward.x)
    if found is None:
        return maps
    marked = torch.where(found.flatten(1).any(1)[:, None, None], found.to(maps), torch.nan)
    return torch.where(maps.isnan(), marked, maps)
