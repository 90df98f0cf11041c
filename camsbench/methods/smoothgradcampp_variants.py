"""What two libraries make of Smooth Grad-CAM++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.noise import normal_at
from camsbench.core.passes import in_micro_batches
from camsbench.core.saliency import normalise
from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split
from camsbench.methods.smoothgradcampp import SmoothGradCAMpp


@dataclass(frozen=True)
class TorchCAMSmoothGradCAMpp(SmoothGradCAMpp):
    """Smooth Grad-CAM++ as torchcam 0.5 has it: ReLU(Σ_k w_k A'_k), w_k = Σ α·ReLU(g'), of the last noisy sample.

    Its hooks still hold that sample's activation A' and gradient g' when the map is made; only α, which is
    mean(g²)/(2 mean(g²) + Σ(A·mean(g³)) + 1e-8), sees the clean A. Its denominator sums the product of A and g³, where
    Eq. 19 of Grad-CAM++ multiplies the sum of A with each cell's g³; behind an average-pooled head these are the same.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        g = self.gradients(split, forward)  # [B,n,K,h,w]
        g2, g3 = g.pow(2).mean(1), g.pow(3).mean(1)
        alpha = g2 / (2 * g2 + (forward.A * g3).sum((2, 3), keepdim=True) + 1e-8)
        weight = (alpha * g[:, -1].relu()).sum((2, 3), keepdim=True)
        image = torch.arange(len(forward.x), device=forward.x.device)

        def last(chunk: slice) -> Tensor:
            pairs = ((index, self.n - 1) for index in range(chunk.start, chunk.stop))
            return self.noisy(split, forward, image[chunk], pairs)[0]

        return (weight * in_micro_batches(split.micro_batch, len(image), last)).sum(1).relu()


@dataclass(frozen=True)
class VendoredSmoothGradCAMpp:
    """Smooth Grad-CAM++ as in yiskw713's ScoreCAM repository.

    Poppi et al.'s first harness carries a copy along, but only an early script imports it: what its entry point runs
    is ``MetricsEvaluatorSmoothGradCAMpp``.

    The mean of the min-maxed Grad-CAM++ maps of ``n`` noisy images, each of its own A and g, with noise of
    spread/(max − min of the image): it grows where the range shrinks, unlike SmoothGrad's spread·(max − min). α is
    g²/(2g² + Σ(A·g³) + 1e-7), its denominator 1 + 1e-7 where it is 0. The factor exp(y_c) of its gradients cancels in
    each map's min-max, and is left out: it can overflow. A sample whose map is constant counts as zeros (there: NaN).
    Where Σ(A·g³) is negative α has poles, near which rounding alone moves a sample's map (by up to 0.2, measured).

    Args:
        n: noisy copies an image.
        spread: standard deviation of the noise times the range of the normalised image.

    Returns:
        Raw map [B,h,w], within [0,1].
    """

    n: int = 25
    spread: float = 0.15
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Smooth Grad-CAM++", "Omeiza et al.", 2019, "gradient CAM")

    def __post_init__(self) -> None:
        if self.n < 1 or self.spread < 0:
            raise ValueError(f"n={self.n} and spread={self.spread}: n must be at least 1 and spread at least 0")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        x = forward.x
        span = x.amax((1, 2, 3), keepdim=True) - x.amin((1, 2, 3), keepdim=True)
        sigma = torch.where(span > 0, self.spread / span, 0)  # [B,1,1,1]
        index = torch.arange(len(x) * self.n, device=x.device)

        def work(chunk: slice) -> Tensor:
            image, copy = index[chunk] // self.n, index[chunk] % self.n
            with torch.no_grad():
                parts = split.parts(x[image] + sigma[image] * normal_at(forward, image, copy, tuple(x.shape[1:])))
            A, g = parts[0], head_gradient(split, forward.moved(image, parts))
            denominator = 2 * g.pow(2) + (A * g.pow(3)).sum((2, 3), keepdim=True)
            alpha = g.pow(2) / (torch.where(denominator == 0, 1, denominator) + 1e-7)
            weight = (alpha * g.relu()).sum((2, 3), keepdim=True)
            return normalise((weight * A).sum(1, keepdim=True).relu())[0].squeeze(1)

        return in_micro_batches(split.micro_batch, len(index), work).unflatten(0, (-1, self.n)).mean(1)
