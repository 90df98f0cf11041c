"""Ranks: the order in which insertion and deletion take the parts of an image, and those of a rank correlation."""

from __future__ import annotations

import torch
from torch import Tensor

from camsbench.errors import CamsbenchError

NEVER = torch.iinfo(torch.int64).max


def descending_rank(values: Tensor) -> Tensor:
    """Place [B,n] of each of the values [B,n] in descending order; ties in the order in which they stand."""
    order = values.argsort(dim=1, descending=True, stable=True)
    rank = torch.empty_like(order)
    return rank.scatter_(1, order, torch.arange(order.shape[1], device=order.device).expand_as(order))


def mean_rank(values: Tensor) -> Tensor:
    """Rank [B,n] of each of the values [B,n] in ascending order from 1; ties share their mean rank. n² of memory."""
    below = (values[:, None] < values[:, :, None]).sum(2)
    equal = (values[:, None] == values[:, :, None]).sum(2)
    return below + (equal + 1) / 2


def pixel_rank(saliency: Tensor) -> Tensor:
    """Place [B,1,H,W] of each pixel in descending order of ``saliency`` [B,1,H,W]; ties in raster order."""
    return descending_rank(saliency.flatten(1)).view_as(saliency)


def cell_rank(cells: Tensor, size: tuple[int, int]) -> Tensor:
    """Step [B,1,H,W] at which each pixel is taken, when map cells [B,h,w] go one by one in descending order.

    As ReciproCAM's author cuts the image: cell (i,j) is the block of rows i·⌊H/h⌋ to (i + 1)·⌊H/h⌋ *inclusive*, within
    the image, and so for columns. So neighbouring blocks share a row or column of pixels, which goes with the first of
    them: of 224 pixels and 7 cells, blocks of 33×33, at the right and lower border of 32. Where ⌊H/h⌋·h < H, the
    pixels beyond the last block are never taken.

    Raises:
        CamsbenchError: the map has more cells than the image has pixels.
    """
    if cells.shape[1] > size[0] or cells.shape[2] > size[1]:
        raise CamsbenchError(f"order=cells: a map {list(cells.shape[1:])} has no cells in an image {list(size)}")
    batch, height, width = cells.shape
    rank = torch.full((batch, height + 1, width + 1), NEVER, device=cells.device)
    rank[:, :-1, :-1] = descending_rank(cells.flatten(1)).view_as(cells)
    (own, before), (own_column, before_column) = (
        _blocks(pixels, count, cells.device) for pixels, count in zip(size, (height, width), strict=True)
    )
    rows = torch.minimum(rank[:, own], rank[:, before])  # [B,H,w+1]
    return torch.minimum(rows[:, :, own_column], rows[:, :, before_column])[:, None]


def cells_cover(count: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether ``cell_rank``'s blocks of that many cells cover every pixel of an image."""
    return all(pixels <= (pixels // cells) * cells + 1 for cells, pixels in zip(count, size, strict=True))


def _blocks(pixels: int, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The one or two blocks of ``count`` along an axis that each pixel lies in; ``count`` stands for none."""
    at = torch.arange(pixels, device=device)
    side = pixels // count
    return tuple(place.div(side, rounding_mode="floor").clamp(0, count) for place in (at, at - 1))  # type: ignore[return-value]
