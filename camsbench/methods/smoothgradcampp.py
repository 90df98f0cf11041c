"""Smooth Grad-CAM++."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.noise import normal
from camsbench.core.passes import in_micro_batches
from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class SmoothGradCAMpp:
    """Smooth Grad-CAM++ (Omeiza et al. 2019, Eq. 7-8): Grad-CAM++ on gradients averaged over ``n`` noisy inputs.

    α = mean(g²)/(2 mean(g²) + ΣA·mean(g³)), 0 where its denominator is 0, and w_k = Σ α·ReLU(mean g), with A of the
    clean image. The paper's numerator of α is mean(g); like TorchCAM, mean(g²) is used, which for n = 1 and sigma = 0
    is Grad-CAM++. Unlike TorchCAM, nothing of the last noisy sample leaks into the map.

    Args:
        n: noisy copies an image.
        sigma: standard deviation of the noise, in units of the normalised input.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    n: int = 4
    sigma: float = 0.3
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Smooth Grad-CAM++", "Omeiza et al.", 2019, "gradient CAM")

    def __post_init__(self) -> None:
        if self.n < 1 or self.sigma < 0:
            raise ValueError(f"n={self.n} and sigma={self.sigma}: n must be at least 1 and sigma at least 0")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        g = self.gradients(split, forward)
        g1, g2, g3 = (g.pow(power).mean(1) for power in (1, 2, 3))
        denominator = 2 * g2 + forward.A.sum((2, 3), keepdim=True) * g3
        alpha = torch.where(denominator == 0, 0, g2 / torch.where(denominator == 0, 1, denominator))
        weight = (alpha * g1.relu()).sum((2, 3), keepdim=True)
        return (weight * forward.A).sum(1).relu()

    def gradients(self, split: Split, forward: Forward) -> Tensor:
        """The gradients [B,n,K,h,w] at the noisy images."""
        image = torch.arange(len(forward.x), device=forward.x.device).repeat_interleave(self.n)

        def work(chunk: slice) -> Tensor:
            pairs = (divmod(index, self.n) for index in range(chunk.start, chunk.stop))
            return head_gradient(split, forward.moved(image[chunk], self.noisy(split, forward, image[chunk], pairs)))

        return in_micro_batches(split.micro_batch, len(image), work).unflatten(0, (-1, self.n))

    def noisy(
        self, split: Split, forward: Forward, image: Tensor, pairs: Iterable[tuple[int, int]]
    ) -> tuple[Tensor, ...]:
        """Activations [m,K,h,w] of ``image`` [m] with the noise of each pair (image, copy), and what passes beside."""
        with torch.no_grad():
            return split.parts(forward.x[image] + self.sigma * normal(forward, pairs))
