"""Methods whose map is known, what a metric judges of them, and what ``conftest.Tiny`` says on paper."""

from __future__ import annotations

import math
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


C0, C1 = [1.0, 2, 3, 4], [0.0, 1, 0, 1]


def p(kept: set[int], black: float = 0.0) -> float:
    """Probability of class 0 when only the pixels of ``kept`` are left, the others being ``black``."""
    a0 = sum(max(C0[i] if i in kept else black, 0) for i in range(4))
    a1 = sum(2 * max(C1[i] if i in kept else black, 0) for i in range(4))
    return 1 / (1 + math.exp(-(0.5 * a0 - 3 * a1) / 4))


ORDERED = (0.1, 0.9, 0.5, 0.3)  # pixels in the order 1, 2, 3, 0
STATES: list[set[int]] = [set(), {1}, {1, 2}, {1, 2, 3}, {0, 1, 2, 3}]


def trapezoid(points: list[float]) -> float:
    return sum(points) - (points[0] + points[-1]) / 2


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
