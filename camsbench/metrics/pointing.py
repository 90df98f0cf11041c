"""The pointing game: does the map point at the object? Image by image, against its boxes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.truth import object_pixels
from camsbench.errors import CamsbenchError


def object_mask(explained: Explained) -> Tensor:
    """The pixels [B,H,W] of an image's object: its mask, or what is inside its boxes (``camsbench.core.boxes.inside``).

    Raises:
        CamsbenchError: nobody gave boxes or masks.
    """
    found = object_pixels(explained.forward)
    if found is None:
        raise CamsbenchError(
            "the pointing game needs the images' boxes: give evaluate(boxes=...), one list of boxes an image, or masks"
        )
    return found


def peak(saliency: Tensor) -> Tensor:
    """Place [B] in raster order of the greatest value of ``saliency`` [B,1,H,W], the first of several."""
    return saliency.flatten(1).argmax(1)


def _where_known(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` [B] with NaN for images that no pixel of ``mask`` [B,H,W] belongs to."""
    return torch.where(mask.flatten(1).any(1), values.float(), torch.nan)


@dataclass(frozen=True)
class Pointing:
    """Pointing game (Zhang et al. 2018, Excitation Backprop) without tolerance: 1 where the peak lies in a box, else 0.

    The peak is the saliency's greatest value, the first in raster order; so a constant map points at the upper left
    corner (its row says degenerate). NaN for images without a box, or whose boxes the crop cut off. The accuracy over
    images is the mean; beside it tables give the mean of the classes' own accuracies.

    Raises:
        CamsbenchError: nobody gave boxes.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    columns: ClassVar[tuple[Column, ...]] = (
        Column("pointing", "higher", reduce=("mean", "class_mean"), percent=True, title="Point"),
    )

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        mask = object_mask(explained)
        hit = mask.flatten(1).gather(1, peak(explained.saliency)[:, None]).squeeze(1)
        return {"pointing": _where_known(hit, mask)}


@dataclass(frozen=True)
class PointingWithin:
    """Pointing game (Zhang et al. 2018) with a tolerance: 1 where a pixel of a box lies nearer to the peak, else 0.

    As TorchRay decides it: the distance between pixel centres must be below ``tolerance``, and a whole-numbered box
    holds the pixels that TorchRay's mask does. TorchRay measures on the uncropped picture, this on the network's input.
    Peak, NaN and errors as in ``Pointing``; the column bears the tolerance, such as ``pointing_15px``.

    Args:
        tolerance: in pixels of the network's input.
    """

    tolerance: int = 15
    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})

    def __post_init__(self) -> None:
        if not isinstance(self.tolerance, int) or self.tolerance < 1:
            raise ValueError(
                f"tolerance is {self.tolerance}: give whole pixels from 1 up; metric=pointing has no tolerance"
            )

    @property
    def columns(self) -> tuple[Column, ...]:
        name, title = f"pointing_{self.tolerance}px", f"Point{self.tolerance}"
        return (Column(name, "higher", reduce=("mean", "class_mean"), percent=True, title=title),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        mask = object_mask(explained)
        height, width = mask.shape[1:]
        place = peak(explained.saliency)[:, None]  # [B,1]
        rows = (torch.arange(height, device=mask.device) - place // width) ** 2  # [B,H]
        columns = (torch.arange(width, device=mask.device) - place % width) ** 2  # [B,W]
        near = rows[:, :, None] + columns[:, None] < self.tolerance**2
        hit = (mask & near).flatten(1).any(1)
        return {column.name: _where_known(hit, mask) for column in self.columns}


@dataclass(frozen=True)
class EnergyPointing:
    """Energy-based pointing game (Wang et al. 2020, Score-CAM): Σ saliency inside the boxes / Σ saliency, in [0,1].

    A pixel in several boxes counts once. A map without any saliency puts none into the boxes: 0. Values below 0, which
    bicubic interpolation makes, count as 0. NaN and errors as in ``Pointing``. All images with boxes count, whatever
    their boxes' number and size.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    columns: ClassVar[tuple[Column, ...]] = (Column("energy_pointing", "higher", percent=True, title="EnergyPoint"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        mask = object_mask(explained)
        saliency = explained.saliency.squeeze(1).clamp(min=0)
        energy, within = saliency.sum((1, 2)), torch.where(mask, saliency, 0).sum((1, 2))
        return {"energy_pointing": _where_known(torch.where(energy > 0, within / energy, 0), mask)}
