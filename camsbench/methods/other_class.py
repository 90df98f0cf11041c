"""Grad-CAM of another class."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from camsbench.core.types import About, Forward, Split
from camsbench.methods.gradcam import GradCAM


@dataclass(frozen=True)
class OtherClass:
    """Grad-CAM of the class with the lowest logit, in place of the one that is explained.

    A control of metrics: it follows the network and the image, and not the class. Li et al. 2020 ("Quantitative
    evaluations on saliency methods") compare the maps of the most and the least probable class.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "classes"})
    about: ClassVar[About] = About("Another class", "Li et al.", 2020, "control")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return GradCAM()(split, replace(forward, target=forward.logits.argmin(1)))
