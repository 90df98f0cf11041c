"""μFidelity: does a map's sum over a random part of the image tell what the network loses with it?"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.noise import branch, normal_at
from camsbench.core.saliency import size_of
from camsbench.core.types import Forward
from camsbench.errors import check_choices
from camsbench.metrics._subsets import KINDS, Removed, correlate, subsets, sums_and_losses
from camsbench.metrics._substrate import SUBSTRATES

DRAWS = ("exact", "each")


@dataclass(frozen=True)
class MuFidelity:
    """μFidelity (Bhatt et al. 2020, Definition 3): the correlation of Σ_{i∈S} a_i with f(x) − f(x without S).

    S are random subsets of one size. The definition is of single features and of Pearson's ρ (``grid=null
    correlation=pearson``); as Xplique has it, whose name this is, S are cells of a grid and ρ is Spearman's. Xplique
    draws each cell by itself, so that sizes vary, and with them Σ a_i of any map: ``draw=each``; it takes the same
    subsets for all images of a batch, and 0 where nothing varies (here NaN). Quantus' ``FaithfulnessCorrelation`` is
    the definition on single colours of pixels, which it turns to the darkest value of the batch.

    In [−1,1]; a map's unit does not count. ``n`` passes an image.

    Args:
        grid: cells along each side of the image; None: pixels.
        subset: share of the cells that are removed.
        n: subsets an image.
        correlation: ``spearman`` or ``pearson``.
        draw: ``exact``: that share of the cells, rounded; ``each``: each cell with that probability.
        substrate: what stands where a pixel is removed, see ``camsbench.metrics._substrate``.
        probability: f is the target's probability, or its logit.
    """

    grid: int | None = 9
    subset: float = 0.2
    n: int = 200
    correlation: str = "spearman"
    draw: str = "exact"
    substrate: str = "zero"
    probability: bool = True
    columns: ClassVar[tuple[Column, ...]] = (Column("mufidelity", "higher"),)

    def __post_init__(self) -> None:
        check_choices(self, correlation=KINDS, draw=DRAWS, substrate=SUBSTRATES)
        if self.grid is not None and (not isinstance(self.grid, int) or self.grid < 2):
            raise ValueError(f"grid is {self.grid}: give the cells along a side, from 2 up, or null for pixels")
        if not 0 < self.subset < 1:
            raise ValueError(f"subset is {self.subset}: it is a share of the cells, above 0 and below 1")
        if not isinstance(self.n, int) or self.n < 2:
            raise ValueError(f"n is {self.n}: a correlation needs a whole number of subsets from 2 up")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        removed = self.removed(explained.forward)
        sums, lost = sums_and_losses(explained, removed, self.n, self.substrate, self.probability)
        return {"mufidelity": correlate(sums, lost, self.correlation)}

    def removed(self, forward: Forward) -> Removed:
        """The subsets of a batch, from each image's own stream."""
        size, streams = size_of(forward.x), branch(forward, "mufidelity")
        sides = size if self.grid is None else (self.grid, self.grid)
        units = sides[0] * sides[1]
        chosen = subsets(streams, units, [max(1, round(self.subset * units))] * self.n)
        below = NormalDist().inv_cdf(self.subset)

        def cells(image: Tensor, copy: Tensor) -> Tensor:
            if self.draw == "exact":
                return chosen(image, copy)
            return normal_at(streams, image, copy, (units,)) < below

        def pixels(image: Tensor, copy: Tensor) -> Tensor:
            gone = cells(image, copy).view(-1, 1, *sides)
            return F.interpolate(gone.to(forward.x), size, mode="nearest-exact") > 0  # as TensorFlow resizes

        return pixels
