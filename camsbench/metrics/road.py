"""ROAD: the target's probability after the most, or the least, salient pixels were removed and imputed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.noise import branch, normal_at
from camsbench.core.scoring import score_inputs
from camsbench.core.types import Forward
from camsbench.errors import check_choices
from camsbench.metrics._imputation import impute_linearly
from camsbench.metrics._ranking import pixel_rank

TIES = ("rank", "threshold")


@dataclass(frozen=True)
class ROAD:
    """ROAD (Rong et al. 2022): remove and debias, scored as grad-cam scores it.

    ``road_morf`` is the mean over the percentiles of p_c(imputed) − p_c(x) with the most relevant pixels first removed,
    ``road_lerf`` the same with the least relevant first, and ``road`` = (road_lerf − road_morf)/2. All lie in [−1,1].
    Removed pixels are filled by noisy linear imputation (see ``camsbench.metrics._imputation``). Where the paper
    reports the accuracy over a data set, this is one image's probability, as in pytorch-grad-cam's ``ROADCombined``;
    that one draws the noise from the global stream, here it is keyed on the image, the order and the percentile.

    The curves ``road_morf_curve`` and ``road_lerf_curve`` [B,P] are the probabilities after removal, in the order of
    ``percentiles``. 2·P passes an image.

    Args:
        percentiles: at ``p`` the (100 − p) % most relevant (or least relevant) pixels are removed.
        noise: standard deviation of the noise on imputed pixels, in the network's normalised input space.
        ties: ``rank`` removes exactly that share, ties in raster order (the paper: an exact share, ties at random);
            ``threshold`` removes every pixel at or beyond the percentile's value, so that ties go together (grad-cam).
            NaN where that leaves no pixel to impute from.
    """

    percentiles: Sequence[float] = (10, 20, 30, 40, 50, 60, 70, 80, 90)
    noise: float = 0.01
    ties: str = "rank"
    needs: ClassVar[frozenset[str]] = frozenset({"confidence"})
    columns: ClassVar[tuple[Column, ...]] = (
        Column("road", "higher"),
        Column("road_morf", "lower"),
        Column("road_lerf", "higher"),
    )

    def __post_init__(self) -> None:
        if not self.percentiles or not all(0 < p < 100 for p in self.percentiles):
            raise ValueError(f"percentiles is {list(self.percentiles)}: give at least one number between 0 and 100")
        if not self.noise >= 0:
            raise ValueError(f"noise is {self.noise}: it must be at least 0")
        check_choices(self, ties=TIES)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        scores = self.scores(explained)  # [B,2,P]
        lost = (scores - explained.forward.probability[:, None, None]).mean(2)
        morf, lerf = lost.unbind(1)
        return {
            "road": (lerf - morf) / 2,
            "road_morf": morf,
            "road_lerf": lerf,
            "road_morf_curve": scores[:, 0],
            "road_lerf_curve": scores[:, 1],
        }

    def scores(self, explained: Explained) -> Tensor:
        """Probability of the target [B,2,P] after removal: most relevant first, least relevant first."""
        forward = branch(explained.forward, "road")
        order, limit = self._order(explained.saliency)
        count = len(self.percentiles)
        limit = limit.flatten(1)  # [B,2P]
        solvable = order.amin((2, 3)).repeat_interleave(count, 1) < limit  # some pixel is left

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            removed = order[image, copy // count] >= limit[image, copy][:, None, None]
            return self._imputed(forward, image, copy, removed[:, None])

        scores = score_inputs(explained.split, perturb, 2 * count, forward.target, keep=solvable)
        return torch.where(solvable, scores, torch.nan).unflatten(1, (2, count))

    def _imputed(self, forward: Forward, image: Tensor, copy: Tensor, removed: Tensor) -> Tensor:
        filled = impute_linearly(forward.x[image], removed)
        if self.noise == 0:
            return filled
        return filled + removed * self.noise * normal_at(forward, image, copy, tuple(forward.x.shape[1:]))

    def _order(self, saliency: Tensor) -> tuple[Tensor, Tensor]:
        """What decides for a pixel, for both orders [B,2,H,W], and the value [B,2,P] from which on it is removed."""
        shares = torch.tensor([float(p) for p in self.percentiles], device=saliency.device, dtype=torch.float64) / 100
        if self.ties == "threshold":
            order = torch.cat([saliency, 1 - saliency], 1)
            limit = order.flatten(2).double().quantile(shares, dim=2)  # [P,B,2], in double: exact between equal values
            return order, limit.movedim(0, 2).to(order.dtype)
        rank = pixel_rank(saliency)
        total = rank[0].numel()
        order = torch.cat([total - 1 - rank, rank], 1)
        kept = (
            total - ((1 - shares) * total + 1e-9).floor()
        )  # 1e-9: 30 % of 10 pixels are 3, whatever 1 − 0.7 rounds to
        return order, kept.expand(*order.shape[:2], -1)
