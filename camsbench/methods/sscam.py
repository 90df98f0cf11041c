"""SS-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.noise import normal_at
from camsbench.core.saliency import size_of
from camsbench.core.scoring import score_inputs
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods.channelwise import has_range, masks_of

NOISES = ("mask", "input")


@dataclass(frozen=True)
class SSCAM:
    """SS-CAM (Wang et al. 2020b, arXiv 2006.14255): ReLU(Σ_k w_k A_k), w_k the mean p_c over ``n`` noisy masks of A_k.

    ``mask`` is p_c((N(U(A_k)) + σδ) ⊙ x), δ standard normal a pixel and shared by the colours, as the paper's SS-CAM(1)
    smooths the map that masks; ``input`` is p_c(N(U(A_k)) ⊙ x + σδ), SS-CAM(2). Here σ is in units of the mask's range.
    The authors' code adds noise of (σ/range)², and in (1) to the un-normalised U(A_k), so that its strength depends on
    the layer; TorchCAM adds it to U(N(A_k)), and takes a softmax over the channels of mean logits. As in Score-CAM,
    constant channels are left out. n·K passes an image, less its constant channels.

    Args:
        n: noisy masks a channel.
        sigma: standard deviation of the noise; a mask lies in [0,1].
        noise: ``mask`` or ``input`` (where sigma is in units of the normalised input).

    Returns:
        Raw map [B,h,w], at least 0.
    """

    n: int = 35
    sigma: float = 2.0
    noise: str = NOISES[0]
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("SS-CAM", "Wang et al.", 2020, "score CAM")

    def __post_init__(self) -> None:
        if self.n < 1 or self.sigma < 0:
            raise ValueError(f"n={self.n} and sigma={self.sigma}: n must be at least 1 and sigma at least 0")
        check_choices(self, noise=NOISES)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        A, size = forward.A, size_of(forward.x)

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            mask, x = masks_of(A[image, copy // self.n], size), forward.x[image]
            if self.noise == "mask":
                return (mask + self.sigma * normal_at(forward, image, copy, (1, *size))) * x
            return mask * x + self.sigma * normal_at(forward, image, copy, (x.shape[1], *size))

        keep = has_range(A).repeat_interleave(self.n, 1)  # [B,K·n]
        scores = score_inputs(split, perturb, keep.shape[1], forward.target, keep)
        weight = scores.unflatten(1, (-1, self.n)).mean(2)[:, :, None, None]
        return (weight * A).sum(1).relu()
