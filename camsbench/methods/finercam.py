"""Finer-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices

WEIGHTS = ("softmax", "mean")


@dataclass(frozen=True)
class FinerCAM:
    """Finer-CAM (Zhang et al. 2025): Grad-CAM of y_c − γ Σ_d v_d y_d, what sets the target apart from similar classes.

    The similar classes are those whose logits are nearest to the target's. As in grad-cam, which the authors' own demo
    calls, γ = 1 and v is the softmax over the similar classes' logits, through which the gradient flows too;
    torchcam takes the plain mean and γ = 0.6. grad-cam adds 1e-9 to the sum of probabilities that v divides by, which
    for a network that is sure of its class is as large as the sum.

    Args:
        classes: number of similar classes; all others when there are fewer.
        gamma: strength of the comparison; 0 is Grad-CAM.
        weights: v, ``softmax`` or ``mean``.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    classes: int = 3
    gamma: float = 1.0
    weights: str = "softmax"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "classes"})
    about: ClassVar[About] = About("Finer-CAM", "Zhang et al.", 2025, "gradient CAM")

    def __post_init__(self) -> None:
        if self.classes < 1 or self.gamma < 0:
            raise ValueError(
                f"classes={self.classes} and gamma={self.gamma}: classes must be at least 1 and gamma at least 0"
            )
        check_choices(self, weights=WEIGHTS)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        similar = self.similar_classes(forward)  # [B,n]

        def gradient(chunk: slice) -> Tensor:
            with torch.enable_grad():
                A = forward.A[chunk].detach().requires_grad_()
                logits = split.head(A, *forward.beside_of(chunk))
                target = split.asked.score(logits, forward.target[chunk]).sum()
                others = logits.gather(1, similar[chunk])
                share = others.softmax(1) if self.weights == "softmax" else 1 / max(similar.shape[1], 1)
                return torch.autograd.grad(target - self.gamma * (share * others).sum(), A)[0]

        weight = in_micro_batches(split.micro_batch, len(forward.A), gradient).mean((2, 3), keepdim=True)
        return (weight * forward.A).sum(1).relu()

    def similar_classes(self, forward: Forward) -> Tensor:
        """The classes [B,n] whose logits are nearest to the target's, the target left out."""
        target = forward.target[:, None]
        distance = (forward.logits - forward.logits.gather(1, target)).abs().scatter(1, target, torch.inf)
        return distance.topk(min(self.classes, distance.shape[1] - 1), largest=False).indices
