"""The ideal map, where it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from camsbench.core.saliency import size_of
from camsbench.core.truth import truth_of
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices

RESOLUTIONS = ("image", "layer")


@dataclass(frozen=True)
class Truth:
    """The ideal map: each pixel's share of the evidence where that is known, else 1 on the object and 0 beside it.

    As a control it says the best that a metric gives (Arras et al. 2022, CLEVR-XAI, have such maps of questions on
    generated pictures). Mirrored it is as plausible, and wrong wherever the evidence is not in the middle.

    Args:
        at: ``image``, pixel by pixel; or ``layer``, the mean in each cell of the target layer: the best that a map of
            that size can be.
        mirrored: turned left to right.

    Returns:
        Raw map [B,H,W], or [B,h,w]; NaN for an image of which neither is known.
    """

    at: str = "image"
    mirrored: bool = False
    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    about: ClassVar[About] = About("Truth", "Arras et al.", 2022, "control")

    def __post_init__(self) -> None:
        check_choices(self, at=RESOLUTIONS)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = truth_of(forward)
        if self.at == "layer":
            maps = adaptive_avg_pool2d(maps[:, None], size_of(forward.A)).squeeze(1)
        return maps.flip(2) if self.mirrored else maps
