"""Methods whose map is known, and what a metric judges of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.explained import Explained, explain
from camsbench.core.noise import stream_seeds
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Explainer, Forward, Split
from camsbench.methods.gradcam import GradCAM

TARGET = [243, 559, 438]  # of the first three of ``images``


@dataclass(frozen=True)
class Given:
    """A method whose map of 2×2 cells is known: ``values``, for any image."""

    values: tuple[float, ...]
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return torch.tensor(self.values).view(1, 2, 2).expand(len(forward.x), -1, -1)


@dataclass(frozen=True)
class Turns:
    """A map that is ``before`` for one image, and ``after`` for any other."""

    image: Tensor
    before: Explainer
    after: Explainer
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return (self.before if torch.equal(forward.x, self.image) else self.after)(split, forward)


def on_paper(split: Split, x: Tensor, method: Explainer) -> Explained:
    """Class 0 of images explained, without random streams that differ."""
    target = torch.zeros(len(x), dtype=torch.long)
    return explain(split, method, SaliencyRule(), scoring.forward(split, x, target, (0,) * len(x)))


def on_images(split: Split, x: Tensor, method: Explainer | None = None) -> Explained:
    """Up to three of ``images`` explained, by Grad-CAM unless another method is given."""
    seeds = stream_seeds(0, [f"image {i}" for i in range(3)])[: len(x)]
    forward = scoring.forward(split, x, torch.tensor(TARGET[: len(x)]), seeds)
    return explain(split, method or GradCAM(), SaliencyRule(), forward)
