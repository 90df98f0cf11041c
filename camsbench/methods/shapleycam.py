"""ShapleyCAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods._attention import opened

SCORES = ("rest", "logit")


@dataclass(frozen=True)
class ShapleyCAM:
    """ShapleyCAM (Cai 2025): ReLU(Σ_k w_k A_k), w_k = mean(g_k − ½(H·A)_k).

    g is the gradient and H the Hessian of the score with respect to A. The score is the paper's ReST, y_c + log p_c, a
    logit that also knows the other classes. With the bare logit, which is what grad-cam takes unless told otherwise, H
    vanishes behind piecewise linear heads (VGG, ResNet, EfficientNet's last layer) and the map is Grad-CAM's; behind a
    linear one grad-cam 1.5.7 fails.

    Args:
        score: ``rest`` (y_c + log p_c) or ``logit`` (y_c).

    Returns:
        Raw map [B,h,w], at least 0.
    """

    score: str = "rest"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("ShapleyCAM", "Cai", 2025, "gradient CAM")

    def __post_init__(self) -> None:
        check_choices(self, score=SCORES)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        def marginal(chunk: slice) -> Tensor:
            with torch.enable_grad():
                A = forward.A[chunk].detach().requires_grad_()
                with opened(lambda probabilities, _: probabilities):  # a fused attention has no second derivative
                    logits = split.head(A, *forward.beside_of(chunk))
                score = split.asked.score(logits, forward.target[chunk])
                if self.score == "rest":
                    score = score + split.asked.log_confidence(logits, forward.target[chunk])
                gradient = torch.autograd.grad(score.sum(), A, create_graph=True)[0]  # [b,K,h,w]
                if not gradient.requires_grad:  # of a linear head
                    return gradient
                (curvature,) = torch.autograd.grad(gradient, A, A.detach(), materialize_grads=True)  # H·A
            return gradient.detach() - 0.5 * curvature

        weight = in_micro_batches(split.micro_batch, len(forward.A), marginal).mean((2, 3), keepdim=True)
        return (weight * forward.A).sum(1).relu()
