"""Sensitivity-n: the correlation of attributions and losses, from single pixels to most of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.noise import branch
from camsbench.core.saliency import size_of
from camsbench.errors import check_choices
from camsbench.metrics._subsets import correlate, subsets, sums_and_losses
from camsbench.metrics._substrate import SUBSTRATES


@dataclass(frozen=True)
class SensitivityN:
    """Sensitivity-n (Ancona et al. 2018, section 4): Pearson's ρ of Σ_{i∈S} a_i with S_c(x) − S_c(x without S).

    For each n of a row of sizes random subsets S of n pixels are turned to 0, the mean colour. Sizes run from 1 pixel
    to ``largest`` of all in equal steps of log n. The curve ``sensitivity_n_curve`` [B,sizes] holds ρ of each n, the
    column their mean; an n at which nothing varies is left out of it. The paper draws the curve, each point the mean
    over images. S_c is the target's score, for a class of a softmax the logit.

    Quantus' ``SensitivityN`` is another measure: it takes pixels in descending order of the map, more and more of them,
    and correlates over the images of a batch. Xplique has none.

    In [−1,1]; a map's unit does not count. ``sizes``·``subsets`` passes an image.

    Args:
        sizes: how many different n; fewer where rounding makes two of them equal.
        largest: the last n, as a share of the image's pixels.
        subsets: of each n.
        substrate: what stands where a pixel is removed, see ``camsbench.metrics._substrate``.
        probability: S_c is the target's probability in place of its logit.
    """

    sizes: int = 10
    largest: float = 0.8
    subsets: int = 100
    substrate: str = "zero"
    probability: bool = False
    columns: ClassVar[tuple[Column, ...]] = (Column("sensitivity_n", "higher"),)

    def __post_init__(self) -> None:
        check_choices(self, substrate=SUBSTRATES)
        for option, least in (("sizes", 1), ("subsets", 2)):
            if not isinstance(getattr(self, option), int) or getattr(self, option) < least:
                raise ValueError(f"{option} is {getattr(self, option)}: give a whole number from {least} up")
        if not 0 < self.largest < 1:
            raise ValueError(f"largest is {self.largest}: it is a share of the pixels, above 0 and below 1")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        height, width = size_of(explained.forward.x)
        counts = self.counts(height * width)
        each = [count for count in counts for _ in range(self.subsets)]
        chosen = subsets(branch(explained.forward, "sensitivity_n"), height * width, each)

        def removed(image: Tensor, copy: Tensor) -> Tensor:
            return chosen(image, copy).view(-1, 1, height, width)

        sums, lost = sums_and_losses(explained, removed, len(each), self.substrate, self.probability)
        sums, lost = (values.view(-1, self.subsets) for values in (sums, lost))
        curve = correlate(sums, lost, "pearson").view(-1, len(counts))
        return {"sensitivity_n": curve.nanmean(1), "sensitivity_n_curve": curve}

    def counts(self, pixels: int) -> list[int]:
        """The different n, ascending, for an image of that many pixels."""
        last = max(1.0, self.largest * pixels)
        return sorted({round(last ** (step / max(1, self.sizes - 1))) for step in range(self.sizes)})
