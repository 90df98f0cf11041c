"""The gradient CAMs of Poppi et al.'s first harness (seppia978/Metrics-Evaluator, its own copy of torchcam).

All end alike: ReLU(Σ_k w_k U(N(A_k))), channels min-maxed before they are summed, and upsampled before the ReLU. Its
entry point hands the softmax to Grad-CAM and Grad-CAM++; Smooth Grad-CAM++ passes the network itself, and takes logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.saliency import normalise, size_of, upsample
from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split
from camsbench.methods.smoothgradcampp import SmoothGradCAMpp

NO_SUM = 1e-7  # what the harness puts in place of a ΣA·g³ that is 0


def combined(weight: Tensor, A: Tensor, forward: Forward) -> Tensor:
    """ReLU(Σ_k w_k U(N(A_k))) [B,H,W] of weights [B,K,1,1] and activations [B,K,h,w]."""
    total = (weight * normalise(A)[0]).sum(1, keepdim=True)  # upsampling is linear: the sum may come first
    return upsample(total, size_of(forward.x)).squeeze(1).relu()


def positive_weight(g1: Tensor, g2: Tensor, g3: Tensor, A: Tensor) -> Tensor:
    """w_k = Σ α·ReLU(g) [B,K,1,1], α = g²/(2g² + Σ(A·g³)), of a gradient and powers of gradients [B,K,h,w]."""
    total = (A * g3).sum((2, 3), keepdim=True)
    alpha = g2 / (2 * g2 + torch.where(total == 0, NO_SUM, total))
    return (alpha * g1.relu()).sum((2, 3), keepdim=True)


@dataclass(frozen=True)
class MetricsEvaluatorGradCAM:
    """Grad-CAM as in Metrics-Evaluator: w_k = mean(∂p_c/∂A_k).

    It goes back from the softmax probability, not from the logit (Selvaraju et al. 2017, Eq. 1). Near p_c = 1 its
    gradient is mostly rounding.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Grad-CAM", "Selvaraju et al.", 2017, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = head_gradient(split, forward, probability=True)
        return combined(gradient.mean((2, 3), keepdim=True), forward.A, forward)


@dataclass(frozen=True)
class MetricsEvaluatorGradCAMpp:
    """Grad-CAM++ as in Metrics-Evaluator: w_k = Σ α·ReLU(g), α = g²/(2g² + Σ(A·g³)), g = ∂p_c/∂A of the softmax.

    Its division is not lost, unlike torchcam's. α's denominator sums the product A·g³, where Eq. 19 of Chattopadhay et
    al. 2018 multiplies the sum of A with each cell's g³; a sum that is 0 counts as 1e-7. It is of the raw A.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Grad-CAM++", "Chattopadhay et al.", 2018, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        g = head_gradient(split, forward, probability=True)  # [B,K,h,w]
        return combined(positive_weight(g, g.pow(2), g.pow(3), forward.A), forward.A, forward)


@dataclass(frozen=True)
class MetricsEvaluatorSmoothGradCAMpp(SmoothGradCAMpp):
    """Smooth Grad-CAM++ as Metrics-Evaluator's entry point runs it: A and g are those of the last noisy sample.

    w_k = Σ α·ReLU(g'), α = mean(g²)/(2 mean(g²) + Σ(A'·mean(g³))), a sum that is 0 counting as 1e-7, g of the logit.
    torchcam 0.5 differs: its α sees the clean A, and its channels are not min-maxed.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        g = self.gradients(split, forward)  # [B,n,K,h,w]
        image = torch.arange(len(forward.x), device=forward.x.device)

        def last(chunk: slice) -> Tensor:
            pairs = ((index, self.n - 1) for index in range(chunk.start, chunk.stop))
            return self.noisy(split, forward, image[chunk], pairs)[0]

        A = in_micro_batches(split.micro_batch, len(image), last)
        return combined(positive_weight(g[:, -1], g.pow(2).mean(1), g.pow(3).mean(1), A), A, forward)
