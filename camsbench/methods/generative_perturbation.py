"""Generative perturbation: removal of regions by an inpainter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.scoring import score_inputs
from camsbench.core.types import About, Forward, Split
from camsbench.methods.inpaint import Inpainter, TeleaInpainter


def windows(side: int, patch: int, stride: int, like: Tensor) -> Tensor:
    """Which pixels each window covers [n,side]: every ``stride`` pixels, and one flush with the end."""
    starts = list(range(0, max(side - patch, 0) + 1, stride))
    if starts[-1] + patch < side:
        starts.append(side - patch)
    start = torch.tensor(starts, device=like.device)[:, None]
    pixel = torch.arange(side, device=like.device)
    return ((pixel >= start) & (pixel < start + patch)).to(like.dtype)


@dataclass(frozen=True)
class GenerativePerturbation:
    """SP-G (Agarwal and Nguyen 2020): how much of the probability an inpainted patch takes away.

    The paper joins inpainting to three methods: sliding patch (SP-G), LIME (LIME-G) and meaningful perturbation
    (MP-G). Here it is the first: each patch is cut out, filled by the inpainter, and scored; outside the hole the
    image stays as it is. A pixel's value is the mean drop p_c(x) − p_c(filled) over the patches that cover it, where
    the authors' code stretches the grid of drops over the image, which moves its rim outwards by half a patch. The
    authors fill with a trained network (DeepFill); the default here is Telea's classical method.

    Args:
        patch: side of the patch, in pixels.
        stride: distance of patches, in pixels.
        inpainter: what fills the hole (see ``camsbench.methods.inpaint.Inpainter``).

    Returns:
        Raw map [B,H,W].
    """

    patch: int = 29
    stride: int = 3
    inpainter: Inpainter = field(default_factory=TeleaInpainter)
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("SP-G", "Agarwal and Nguyen", 2020, "input perturbation")

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.patch:
            raise ValueError(
                f"patch={self.patch} and stride={self.stride}: "
                "stride must be at least 1 and at most patch, or pixels would be left out"
            )

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        x = forward.x
        down, across = (windows(side, self.patch, self.stride, x) for side in x.shape[2:])  # [n,H], [m,W]
        black = split.preprocess.black(x)
        std = torch.tensor(list(split.preprocess.std), device=x.device).view(1, -1, 1, 1)
        pixels = (x - black) * std  # in [0,1]

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            hole = down[copy // len(across)][:, None, :, None] * across[copy % len(across)][:, None, None]  # [m,1,H,W]
            filled = self.inpainter(pixels[image], hole) / std + black
            return torch.where(hole > 0, filled, x[image])

        scores = score_inputs(split, perturb, len(down) * len(across), forward.target)
        drop = (forward.probability[:, None] - scores).unflatten(1, (len(down), len(across)))  # [B,n,m]
        covering = down.sum(0)[:, None] * across.sum(0)  # [H,W]: patches over each pixel
        return down.T @ drop @ across / covering
