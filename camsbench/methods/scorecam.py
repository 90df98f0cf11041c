"""Score-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.methods.channelwise import masked_scores
from camsbench.types import About, Forward, Split


@dataclass(frozen=True)
class ScoreCAM:
    """Score-CAM (Wang et al. 2020, Eq. 4-7): ReLU(Σ_k w_k A_k), w_k = p_c(N(U(A_k)) ⊙ x).

    As in the authors' code: softmax probability of the target, no baseline, the un-normalised A_k in the sum, and
    constant channels left out. K passes an image, less its constant channels.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Score-CAM", "Wang et al.", 2020, "score CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        weight = masked_scores(split, forward, forward.A)  # [B,K]
        return (weight[:, :, None, None] * forward.A).sum(1).relu()
