"""Maps as if a method had given them, of images of which metrics see nothing but the objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.boxes import Boxes
from camsbench.core.explained import Explained, Metric
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Forward, Split
from camsbench.models.split import TorchSplit


@dataclass(frozen=True)
class Unused:
    """A method that nobody asks."""

    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        raise NotImplementedError


def subject(
    split: TorchSplit,
    saliency: Tensor,
    boxes: Boxes = (),
    masks: Tensor | None = None,
    outlines: Boxes = (),
    x: Tensor | None = None,
) -> Explained:
    """Saliency [B,H,W] as if explained for class 0, of images ``x`` [B,3,H,W] or of black ones."""
    count, height, width = saliency.shape
    black = torch.zeros(count, 3, height, width, dtype=next(split.model.parameters()).dtype)
    images = black if x is None else x
    forward = scoring.forward(split, images, torch.zeros(count, dtype=torch.long), (0,) * count)
    forward = replace(forward, boxes=boxes, masks=masks, outlines=outlines)
    none = torch.zeros(count, dtype=torch.bool)
    return Explained(split, Unused(), SaliencyRule(), forward, saliency, saliency[:, None], none, 0.0)


def judged(metric: Metric, split: TorchSplit, saliency: Tensor, *boxes: tuple[float, float, float, float]) -> float:
    """The first column of a metric, of one map [H,W] and its boxes."""
    values = next(iter(metric(subject(split, saliency[None], (boxes,))).values()))
    assert values.shape == (1,)
    return float(values)
