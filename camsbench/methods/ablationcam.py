"""Ablation-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.closed_forms import channel_drops
from camsbench.core.scoring import score_features
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class AblationCAM:
    """Ablation-CAM (Desai and Ramaswamy 2020): ReLU(Σ_k w_k A_k), w_k = (y − y_k)/y.

    y is the target's logit and y_k the same with channel k set to 0: one pass of the head a channel, less the channels
    that are 0 already, and none where the head has a closed form (``core.closed_forms``). As the formula stands,
    the sign of every weight turns when y < 0, so that for a class that the network rules out the map shows what speaks
    against it; where y = 0 the division is left out. grad-cam fills with the minimum − 1e7 instead of 0 unless the
    least activation of the image is exactly 0.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("Ablation-CAM", "Desai and Ramaswamy", 2020, "feature perturbation")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        alive = (forward.A != 0).any(3).any(2)  # [B,K]: a channel of zeros adds nothing and costs no pass
        drops = channel_drops(split, forward, alive)
        y = forward.score[:, None]  # [B,1]
        if drops is None:
            drops = y - self._without(split, forward, alive)
        weight = drops / torch.where(y == 0, 1, y)
        return (weight[:, :, None, None] * forward.A).sum(1).relu()

    def _without(self, split: Split, forward: Forward, alive: Tensor) -> Tensor:
        """The target's logit [B,K] without channel k, of the channels that are ``alive``."""

        def perturb(image: Tensor, channel: Tensor) -> Tensor:
            A = forward.A[image]  # a copy
            A[torch.arange(len(image), device=A.device), channel] = 0
            return A

        return score_features(split, forward, perturb, alive.shape[1], probability=False, keep=alive)
