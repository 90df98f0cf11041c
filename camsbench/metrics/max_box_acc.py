"""MaxBoxAcc and MaxBoxAccV2: does a box around the thresholded map find the object?

Followed is wsolevaluation, whose numbers are the published ones, where it parts from the papers: maps have 8 bits; a
threshold is cut to a whole grey level, and pixels must lie above it; a box ends a pixel behind its last one (within the
map), objects' boxes are cut to whole pixels, and in an IoU both ends of a box are inside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from camsbench.core.columns import CURVE, Column, OfMeans
from camsbench.core.explained import Explained
from camsbench.metrics import _regions as regions
from camsbench.metrics._objects import box_around, check_objects
from camsbench.metrics._regions import Grey, Ints

Floats = NDArray[np.float64]
WORDS = "the share of images that are right at the one threshold that serves all of them best"
OF_THREE = "the mean over three IoUs of this share, each at its own best threshold"


def best_threshold(*accuracies: Tensor) -> Tensor:
    """The greatest accuracy [R] of curves [R,T] over the thresholds; of several curves the mean of theirs."""
    return torch.stack([curve.amax(1) for curve in accuracies]).mean(0)


def _column(name: str, title: str, curves: tuple[str, ...], words: str) -> Column:
    of_all = OfMeans(tuple(CURVE + curve for curve in curves), best_threshold, words)
    return Column(name, "higher", reduce=(of_all, "mean"), percent=True, title=title)


@dataclass(frozen=True)
class BoxAccuracy:
    """What the two share: the curves of an image say at which thresholds it is right at each of the ``ious``.

    Args:
        interval: the thresholds are 0, interval, 2·interval, ... below 1, in shares of the map's maximum.
    """

    interval: float = 0.001
    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    ious: ClassVar[tuple[float, ...]]
    curves: ClassVar[tuple[str, ...]]  # of each IoU
    columns: ClassVar[tuple[Column, ...]]

    def __post_init__(self) -> None:
        if not 0 < self.interval < 1:
            raise ValueError(f"interval is {self.interval}: it must be between 0 and 1")

    def overlaps(self, grey: Grey, objects: Ints) -> Floats:
        """The IoU [256] that counts at each grey level of a map [H,W], with the nearest of the objects' boxes [M,4]."""
        raise NotImplementedError

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        found = torch.from_numpy(np.stack(list(self._curves(explained)))).to(explained.saliency.device)  # [B,T]
        right = [torch.where(found.isnan(), found, (found >= iou).double()) for iou in self.ious]
        (column,) = self.columns
        return {column.name: best_threshold(*right), **dict(zip(self.curves, right, strict=True))}

    def _curves(self, explained: Explained) -> Iterator[Floats]:
        """For each image the IoU [T] at each threshold; NaN without an object."""
        thresholds = np.arange(0, 1, self.interval)
        maps = regions.to_grey(explained.saliency)
        for grey, objects in zip(maps, object_boxes(explained), strict=True):
            if len(objects):
                yield self.overlaps(grey, objects)[(thresholds * grey.max()).astype(int)]
            else:
                yield np.full(len(thresholds), np.nan)


@dataclass(frozen=True)
class MaxBoxAcc(BoxAccuracy):
    """MaxBoxAcc (Choe et al. 2020): does the box around the thresholded map's largest region find the object?

    It does where it overlaps one of the object's boxes (or else the box around its mask) by an IoU of 0.5. The
    published number is the share of such images at the best threshold, the same for all images: tables take it from
    the curves ``max_box_acc_curve`` [B,T]. A row has the same of its image alone, 1 where any threshold is right, and
    so their mean, ``max_box_acc_mean``, lets each image have a threshold of its own.

    Regions are 8-connected; the largest is that with the greatest area inside its contour. NaN without a box.
    """

    ious: ClassVar[tuple[float, ...]] = (0.5,)
    curves: ClassVar[tuple[str, ...]] = ("max_box_acc_curve",)
    columns: ClassVar[tuple[Column, ...]] = (_column("max_box_acc", "MaxBoxAcc", curves, WORDS),)

    def overlaps(self, grey: Grey, objects: Ints) -> Floats:
        found = regions.largest(grey)
        nothing = found[:, :1] < 0  # wsolevaluation takes the first pixel
        return overlap(np.where(nothing, 0, _widened(found, grey)), objects)


@dataclass(frozen=True)
class MaxBoxAccV2(BoxAccuracy):
    """MaxBoxAccV2 (Choe et al. 2022): as MaxBoxAcc, of the best of all regions' boxes, mean of IoU 0.3, 0.5 and 0.7.

    For each IoU the best threshold is another; the three curves are ``max_box_acc_v2_30_curve`` and so on. The code
    takes the boxes of all contours, also of those around holes, which the paper does not say.
    """

    ious: ClassVar[tuple[float, ...]] = (0.3, 0.5, 0.7)
    curves: ClassVar[tuple[str, ...]] = tuple(f"max_box_acc_v2_{percent}_curve" for percent in (30, 50, 70))
    columns: ClassVar[tuple[Column, ...]] = (_column("max_box_acc_v2", "MaxBoxAccV2", curves, OF_THREE),)

    def overlaps(self, grey: Grey, objects: Ints) -> Floats:
        kinds = (regions.connected(grey), regions.holes(grey))
        found = np.maximum(*(kind.best(overlap(_widened(kind.boxes, grey), objects), -1) for kind in kinds))
        return np.where(found < 0, overlap(np.zeros((1, 4), np.int64), objects), found)


def object_boxes(explained: Explained) -> Iterator[Ints]:
    """Of each image the boxes [M,4] in whole pixels: those that are known, else that around its mask; perhaps none.

    Raises:
        CamsbenchError: nobody gave boxes or masks.
    """
    check_objects(explained)
    forward = explained.forward
    around = None if forward.masks is None else regions.to_host(box_around(forward.masks))
    for image, boxes in enumerate(forward.outlines or forward.boxes or ((),) * len(explained.raw)):
        if not boxes and around is not None and around[image].any():
            yield around[[image]]
        else:
            yield np.array(boxes, float).reshape(-1, 4).astype(np.int64)


def overlap(boxes: Ints, objects: Ints) -> Floats:
    """The greatest IoU [N] of boxes [N,4] with any of ``objects`` [M,4], both ends inside."""
    common = np.minimum(boxes[:, None, 2:], objects[:, 2:]) - np.maximum(boxes[:, None, :2], objects[:, :2]) + 1
    shared = common.clip(min=0).prod(2)  # [N,M]
    own, other = ((each[:, 2:] - each[:, :2] + 1).prod(1) for each in (boxes, objects))
    found: Floats = (shared / (own[:, None] + other - shared)).max(1)
    return found


def _widened(boxes: Ints, grey: Grey) -> Ints:
    """Boxes [N,4] of outermost pixels, each ending a pixel later, within the map."""
    height, width = grey.shape
    return np.minimum(boxes + np.array([0, 0, 1, 1]), [width, height, width - 1, height - 1])
