"""Abs-CAM and its initial map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split
from camsbench.methods._channelwise import masked_scores


def absolute_weight(split: Split, forward: Forward) -> Tensor:
    """W_k = mean(|∂y_c/∂A_k|) [B,K,1,1] (Zeng et al. 2022, Eq. 1-2)."""
    return head_gradient(split, forward).abs().mean((2, 3), keepdim=True)


@dataclass(frozen=True)
class AbsCAMInit:
    """Abs-CAM_init (Zeng et al. 2022, Eq. 3): Σ_k W_k A_k with W_k the mean absolute gradient of the logit.

    Equation 3 prints no sum; without one there is a map a channel and no "initial saliency map".

    Returns:
        Raw map [B,h,w].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Abs-CAM_init", "Zeng et al.", 2022, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return (absolute_weight(split, forward) * forward.A).sum(1)


@dataclass(frozen=True)
class AbsCAM:
    """Abs-CAM (Zeng et al. 2022, Eq. 1-5 and Algorithm 1): ReLU(Σ_k p_c(x ⊙ N(U(A_k))) · W_k A_k).

    The reading in which each channel's initial map masks the image once and is weighted by the score it gets.
    Algorithm 1 computes M0, M1 and the score inside its loop over k; the printed times support K passes; and one
    scalar score could not change any metric of Table 2. W_k > 0 does not move N(U(W_k A_k)), so the mask is
    N(U(A_k)); in the sum the map keeps W_k. Constant channels are left out.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Abs-CAM", "Zeng et al.", 2022, "score CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        weight = absolute_weight(split, forward)
        score = masked_scores(split, forward, forward.A)[:, :, None, None]
        return (score * weight * forward.A).sum(1).relu()
