"""Score-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.saliency import normalise
from camsbench.core.scoring import score_inputs
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods.channelwise import MASKS, has_range, masked_scores

WEIGHTS = ("probability", "softmax_over_channels")
MAPS = ("raw", "normalised")


@dataclass(frozen=True)
class ScoreCAM:
    """Score-CAM (Wang et al. 2020, Eq. 4-7): ReLU(Σ_k w_k A_k), w_k = p_c(N(U(A_k)) ⊙ x).

    As in the authors' code: softmax probability of the target, no baseline, the un-normalised A_k in the sum, and
    constant channels left out. K passes an image, less its constant channels.

    The options give what libraries make of it; all but torchcam's first add 1e-8 to the range of a mask, which is not
    done here. ``softmax_over_channels`` is nearly one-hot, and does not see a baseline; there a constant channel's mask
    is 0, so one pass of a black image scores all of them.

    Args:
        weight: ``probability``, or ``softmax_over_channels`` of the K logits (torchcam ≥ 0.3.2, grad-cam).
        mask: ``upsample_then_normalise``, ``normalise_then_upsample`` (torchcam), or ``align_corners`` (grad-cam: the
            first, upsampled with its corners aligned).
        maps: ``raw`` or ``normalised`` A_k in the sum (torchcam 2021, whose min-max works in place).

    Returns:
        Raw map [B,h,w], at least 0.
    """

    weight: str = WEIGHTS[0]
    mask: str = MASKS[0]
    maps: str = MAPS[0]
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Score-CAM", "Wang et al.", 2020, "score CAM")

    def __post_init__(self) -> None:
        check_choices(self, weight=WEIGHTS, mask=MASKS[:3], maps=MAPS)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        weight = self._weight(split, forward)  # [B,K]
        maps = forward.A if self.maps == "raw" else normalise(forward.A)[0]
        return (weight[:, :, None, None] * maps).sum(1).relu()

    def _weight(self, split: Split, forward: Forward) -> Tensor:
        if self.weight == "probability":
            return masked_scores(split, forward, forward.A, mask=self.mask)
        logits = masked_scores(split, forward, forward.A, mask=self.mask, probability=False)
        black = score_inputs(split, lambda image, _: 0 * forward.x[image], 1, forward.target, probability=False)
        return torch.where(has_range(forward.A), logits, black).softmax(1)
