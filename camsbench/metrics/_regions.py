"""The connected regions of a map at all of its grey levels at once, and their boxes; on the host, as all of it is.

A max-tree (Salembier et al. 1998; scikit-image's) holds each region of every set {map > level} once, with the levels
at which it is one. So boxes at 1000 thresholds cost one tree, where contours would be found anew at each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.morphology import max_tree, reconstruction
from torch import Tensor

Ints = NDArray[np.int64]
Grey = NDArray[np.uint8]
LEVELS = 256
CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=bool)


def to_grey(saliency: Tensor) -> Grey:
    """Saliencies [B,1,H,W] as 8 bits [B,H,W] on the host, cut off as wsolevaluation does, and at 0 and 1."""
    grey: Grey = (saliency[:, 0].double().nan_to_num(nan=0).clamp(0, 1) * 255).byte().cpu().numpy()
    return grey


def to_host(boxes: Tensor) -> Ints:
    """Boxes [B,4] on the host."""
    found: Ints = boxes.cpu().numpy()
    return found


@dataclass(frozen=True)
class Regions:
    """Regions of the sets {map > level}, each at its levels ``first`` up to and without ``end``."""

    first: Ints  # [N]
    end: Ints  # [N]
    boxes: Ints  # [N,4]: x0, y0, x1, y1 of the outermost pixels, which are inside
    start: Ints  # [N]: the first pixel in raster order
    weight: NDArray[Any]  # [N]: of all pixels together

    def best(self, values: NDArray[Any], missing: float) -> NDArray[Any]:
        """The greatest of the regions' ``values`` [N] at each level [256]; ``missing`` where there is no region."""
        count = self.end - self.first
        before = np.repeat(count.cumsum() - count, count)
        levels = np.arange(len(before)) - before + np.repeat(self.first, count)
        found = np.full(LEVELS, missing, values.dtype)
        np.maximum.at(found, levels, np.repeat(values, count))
        return found


def connected(grey: Grey) -> Regions:
    """The 8-connected regions of the sets {grey > level} of a map [H,W]."""
    return _regions(grey, 2, np.ones(grey.shape))


def holes(grey: Grey) -> Regions:
    """The holes of these regions, each with the pixels that its contour runs through, one further out on each side.

    A hole is a 4-connected region of the other pixels that does not reach the map's border.
    """
    turned = LEVELS - 1 - np.pad(grey, 1)  # {grey <= level} is {turned > 254 - level}
    found = _regions(turned, 1, np.ones(turned.shape))
    inner = found.boxes[:, 0] > 0  # the others reach the frame
    ends = LEVELS - 1 - found.end[inner], LEVELS - 1 - found.first[inner]
    boxes = found.boxes[inner] + np.array([-2, -2, 0, 0])  # out by one, and the frame taken off
    return Regions(*ends, boxes, found.start[inner], found.weight[inner])


def largest(grey: Grey) -> Ints:
    """The box [256,4] around the largest 8-connected region of {grey > level} of a map [H,W]; −1 where it is empty.

    A region's area is that inside its outer contour, which runs through the centres of its pixels: holes count, and a
    line has none (``cv2.contourArea``). Of several of one area it is the region whose first pixel comes last in raster
    order, since ``cv2.findContours`` lists that one first.
    """
    filled = _without_holes(grey)
    found = _regions(filled, 2, _contour_area(filled))
    order = np.lexsort((found.start, found.weight))
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    chosen = found.best(rank, -1)  # [256]
    return np.where(chosen[:, None] < 0, -1, found.boxes[order[chosen]])


def _regions(grey: Grey, connectivity: int, weight: NDArray[Any]) -> Regions:
    parent = max_tree(grey, connectivity=connectivity)[0].ravel()
    flat, pixel = grey.ravel(), np.arange(grey.size)
    nodes, node = np.unique(np.where(flat[parent] == flat, parent, pixel), return_inverse=True)
    level, above = flat[nodes].astype(np.int64), np.searchsorted(nodes, parent[nodes])
    row, column = np.divmod(pixel, grey.shape[1])
    order = np.argsort(node, kind="stable")
    begin = np.flatnonzero(np.diff(node[order], prepend=-1))
    least = np.minimum.reduceat(np.stack([column, row, -column, -row, pixel], 1)[order], begin, axis=0)  # [N,5]
    total = np.bincount(node, weight.ravel())
    deepest = np.argsort(-level, kind="stable")
    *levels, _ = np.split(deepest, np.flatnonzero(np.diff(level[deepest])) + 1)  # the last is the root
    for chosen in levels:  # what lies in a region lies in the one around it
        np.minimum.at(least, above[chosen], least[chosen])
        np.add.at(total, above[chosen], total[chosen])
    first = np.where(above == np.arange(len(nodes)), 0, level[above])
    return Regions(first, level, least[:, :4] * [1, 1, -1, -1], least[:, 4], total)


def _without_holes(grey: Grey) -> Grey:
    """The map [H,W] whose sets {map > level} are those of ``grey`` with their holes filled."""
    framed = np.pad(grey, 1)
    seed = np.pad(np.full_like(grey, LEVELS - 1), 1)
    filled: Grey = reconstruction(seed, framed, method="erosion", footprint=CROSS).astype(np.uint8)
    return filled[1:-1, 1:-1]


def _contour_area(grey: Grey) -> NDArray[Any]:
    """Weights [H,W] whose sum over a region without holes is the area inside its contour.

    Of four pixels in a square, a contour through the region's holds the whole unit square where all four are in the
    region, and half of it where three are.
    """
    place = np.arange(grey.size).reshape(grey.shape)
    squares = np.stack([place[:-1, :-1], place[:-1, 1:], place[1:, :-1], place[1:, 1:]], 2).reshape(-1, 4)
    order = np.argsort(grey.ravel()[squares], axis=1, kind="stable")
    lowest = np.take_along_axis(squares, order[:, :2], 1)  # that which comes in third, and fourth, as levels fall
    return 0.5 * np.bincount(lowest.ravel(), minlength=grey.size).reshape(grey.shape)
