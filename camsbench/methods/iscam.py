"""IS-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.saliency import size_of
from camsbench.core.scoring import score_inputs
from camsbench.core.types import About, Forward, Split
from camsbench.methods.channelwise import MASKS, masks_of, score_alike_once


@dataclass(frozen=True)
class ISCAM:
    """IS-CAM (Naidu et al. 2020): ReLU(Σ_k w_k A_k), w_k = 1/n Σ_{i=1..n} p_c(i/n · N(U(A_k)) ⊙ x).

    The score is integrated along the straight line from the black image to the masked one; i = 0, whose image is black
    for every channel, is left out. TorchCAM adds the i/n up, so that its masks are scaled by 0.1, 0.3, 0.6 … 5.5, and
    takes a softmax over the channels of mean logits. As in Score-CAM, constant channels are left out. n·K passes an
    image, less its constant channels; with n = 1 it is Score-CAM.

    Args:
        n: integration steps.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    n: int = 10
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("IS-CAM", "Naidu et al.", 2020, "score CAM")

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n={self.n}: n must be at least 1")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        A, size = forward.A, size_of(forward.x)

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            share = (copy % self.n + 1) / self.n  # [m]
            return share[:, None, None, None] * masks_of(A[image, copy // self.n], size) * forward.x[image]

        scores = score_alike_once(
            split, A, MASKS[0], self.n, lambda keep: score_inputs(split, perturb, keep.shape[1], forward.target, keep)
        )  # [B,K·n]
        weight = scores.unflatten(1, (-1, self.n)).mean(2)[:, :, None, None]
        return (weight * A).sum(1).relu()
