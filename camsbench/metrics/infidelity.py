"""Infidelity: how badly a map predicts what perturbations of the input do to the score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.noise import branch, drawn, normal_at
from camsbench.core.saliency import size_of
from camsbench.core.scoring import score_inputs
from camsbench.core.types import Forward
from camsbench.errors import check_choices

PERTURBATIONS = ("square", "noisy_baseline", "gaussian")

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""``(image[m], copy[m]) -> x − I [m,3,H,W], I [m,3,H,W]``: the changed input, and the change that the map is given."""


@dataclass(frozen=True)
class Infidelity:
    """Infidelity (Yeh et al. 2019, the definition): the mean over perturbations I of (β·ΣIΦ − (f(x) − f(x − I)))².

    Φ [3,H,W] is the saliency, alike for the three colours. A saliency in [0,1] has no unit, so by default it is first
    scaled by the β that serves it best, as the authors' code and captum's ``normalize`` do; then the value lies
    between 0 and the mean of (f(x) − f(x − I))², which a map of zeros gets. With the same draws this is captum's.

    Perturbations, in the network's normalised input space:

    - ``square``: a square turns to 0 (the mean colour), and I is 1 there, 0 elsewhere: the authors' binary one. Its
      side is drawn from whole pixels, then its place; the authors take every side from 1 to 10 of MNIST's 28 pixels at
      every place, which an ImageNet image has too many of.
    - ``noisy_baseline``: x turns to noise ε, I = x − ε (the authors' code clips to [0,1], this does not).
    - ``gaussian``: I = ε, the example of captum.

    ``n`` passes an image.

    Args:
        perturbation: one of the above.
        n: perturbations an image.
        smallest, largest: for ``square``: its side as a share of the image's shorter side.
        sigma: for the others: standard deviation of the noise ε.
        scale: False leaves β = 1, as the definition is printed.
        probability: f is the target's softmax probability, or its logit.
    """

    perturbation: str = "square"
    n: int = 50
    smallest: float = 0.036  # 1/28
    largest: float = 0.357  # 10/28
    sigma: float = 0.2
    scale: bool = True
    probability: bool = True
    columns: ClassVar[tuple[Column, ...]] = (Column("infidelity", "lower"),)

    def __post_init__(self) -> None:
        check_choices(self, perturbation=PERTURBATIONS)
        if not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"n is {self.n}: it must be a whole number from 1 up")
        if not 0 <= self.smallest <= self.largest <= 1:
            raise ValueError(
                f"smallest={self.smallest} and largest={self.largest}: they are shares of the image's side, "
                "at least 0 and at most 1, the smallest first"
            )
        if not self.sigma > 0:
            raise ValueError(f"sigma is {self.sigma}: it must be above 0")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        predicted, lost = self.samples(explained)
        return {"infidelity": infidelity(predicted, lost, self.scale)}

    def samples(self, explained: Explained) -> tuple[Tensor, Tensor]:
        """ΣIΦ and f(x) − f(x − I), each [B,n]."""
        forward, saliency = explained.forward, explained.saliency
        change = self.change(forward)
        predicted = forward.x.new_zeros(len(saliency), self.n)

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            changed, I = change(image, copy)  # noqa: E741 - the paper's letter
            sums = (I * saliency[image]).sum((1, 2, 3))
            predicted[image, copy] = sums.to(predicted.dtype)  # set, not added: a retry sets it again
            return changed

        scores = score_inputs(explained.split, perturb, self.n, forward.target, probability=self.probability)
        before = forward.probability if self.probability else forward.score
        return predicted, before[:, None] - scores

    def change(self, forward: Forward) -> Change:
        """The perturbations of a batch: made in the micro-batch, from each image's own stream."""
        x, streams = forward.x, branch(forward, "infidelity")
        if self.perturbation == "square":
            inside = _squares(streams, self.n, self.smallest, self.largest)

            def square(image: Tensor, copy: Tensor) -> tuple[Tensor, Tensor]:
                I = inside(image, copy)  # noqa: E741
                return x[image] * (1 - I), I.expand_as(x[image])

            return square

        def noisy(image: Tensor, copy: Tensor) -> tuple[Tensor, Tensor]:
            noise = self.sigma * normal_at(streams, image, copy, tuple(x.shape[1:]))
            return (x[image] - noise, noise) if self.perturbation == "gaussian" else (noise, x[image] - noise)

        return noisy


def infidelity(predicted: Tensor, lost: Tensor, scale: bool) -> Tensor:
    """Mean over the copies of (β·predicted − lost)² [B], for both [B,n]; the best β where ``scale``, else 1."""
    a, b = predicted.double(), lost.double()
    if scale:
        square = (a * a).sum(1)
        beta = torch.where(square > 0, (a * b).sum(1) / square, 0)  # where nothing is predicted, any β is as good
        a = a * beta[:, None]
    return (a - b).square().mean(1).float()


def _squares(forward: Forward, n: int, smallest: float, largest: float) -> Callable[[Tensor, Tensor], Tensor]:
    """``(image[m], copy[m]) -> [m,1,H,W]``: 1 in a random square that lies inside the image, 0 elsewhere."""
    height, width = size_of(forward.x)
    short = min(height, width)
    low = max(1, round(smallest * short))
    high = max(low, round(largest * short))
    share = drawn(forward, lambda generator: torch.rand(n, 3, generator=generator, dtype=torch.float64))  # [B,n,3]
    side = low + (share[..., 0] * (high - low + 1)).floor()
    top, left = ((share[..., k] * (length - side + 1)).floor() for k, length in ((1, height), (2, width)))
    row = torch.arange(height, device=side.device)
    column = torch.arange(width, device=side.device)

    def inside(image: Tensor, copy: Tensor) -> Tensor:
        start, first, length = (values[image, copy][:, None] for values in (top, left, side))  # [m,1]
        down = (row >= start) & (row < start + length)  # [m,H]
        across = (column >= first) & (column < first + length)  # [m,W]
        return (down[:, None, :, None] & across[:, None, None, :]).to(forward.x.dtype)

    return inside
