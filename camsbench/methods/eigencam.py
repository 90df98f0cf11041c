"""Eigen-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.methods.components import first_component


@dataclass(frozen=True)
class EigenCAM:
    """Eigen-CAM (Muhammad and Yeasin 2020): the activations projected on their first principal component.

    For any class alike: the target plays no part. As in grad-cam the cells are centred first and a ReLU
    ends it. The sign is the one that grows with the total activation (``components.signed``); grad-cam's is
    whatever NumPy's SVD returns, so its maps equal these or show the other side.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Eigen-CAM", "Muhammad and Yeasin", 2020, "activation CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        A = forward.A
        return in_micro_batches(split.micro_batch, len(A), lambda chunk: first_component(A[chunk])).relu()
