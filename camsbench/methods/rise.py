"""RISE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.noise import drawn
from camsbench.core.saliency import size_of
from camsbench.core.scoring import score_inputs
from camsbench.core.types import About, Forward, Split


def interpolation(length: int, s: int, like: Tensor) -> Tensor:
    """Weights [c,length,s] that upsample ``s`` values to s+1 cells of c = ⌈length/s⌉ pixels and crop at a shift < c.

    As scikit-image's ``resize(order=1, mode="reflect", anti_aliasing=False)``: pixel centres are aligned, and beyond
    the outer values' centres the values are mirrored about these (c b a | a b c without repeating the a).
    """
    cell = -(-length // s)
    pixel = torch.arange((s + 1) * cell, device=like.device, dtype=torch.float64)
    place = ((pixel + 0.5) * s / ((s + 1) * cell) - 0.5).abs()  # in values; mirrored about the first one's centre
    place = (s - 1 - (s - 1 - place).abs()).clamp(min=0)  # and about the last one's
    value = torch.arange(s, device=like.device, dtype=torch.float64)
    whole = (1 - (place[:, None] - value).abs()).clamp(min=0).to(like.dtype)  # [(s+1)c,s]
    return whole.unfold(0, length, 1)[:cell].mT  # [c,length,s]


@dataclass(frozen=True)
class RISE:
    """RISE (Petsiuk et al. 2018, Eq. 6): 1/(n·p1) Σ_i p_c(x ⊙ m_i) m_i over ``n`` random masks.

    A mask is an s×s grid of ones with probability p1, upsampled bilinearly to (s+1)×(s+1) cells of ⌈H/s⌉×⌈W/s⌉ pixels
    and cropped at a random shift below one cell. At the grid's outer half cell the grid is mirrored, as in the authors'
    code (eclique/RISE, which calls scikit-image): for the same grids and shifts the masks are equal to theirs. TorchRay
    mirrors too, at cells of whole pixels. The masks are the image's own, drawn from its seed, where the authors' code
    shares one set. Where every mask scores alike the map is their mean, which is constant only as n grows. n passes an
    image.

    Bilinear upsampling is linear and separable, so a mask is rows·grid·columnsᵀ, made inside the micro-batch, and the
    grids are summed for each shift before they are upsampled: no mask is kept or made twice.

    Args:
        n: masks an image; the paper takes 4000 for VGG16 and 8000 for ResNet-50.
        s: cells along each side of the grid.
        p1: probability of a cell that shows the image.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    n: int = 4000
    s: int = 7
    p1: float = 0.5
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("RISE", "Petsiuk et al.", 2018, "input perturbation")

    def __post_init__(self) -> None:
        if self.n < 1 or self.s < 1 or not 0 < self.p1 <= 1:
            raise ValueError(
                f"n={self.n}, s={self.s}, p1={self.p1}: n and s must be at least 1, and p1 above 0 and at most 1"
            )

    def draw(self, forward: Forward) -> tuple[Tensor, Tensor]:
        """The grids [B,n,s,s] of 0 and 1 and the shifts [B,n,2] in pixels."""
        cells = [-(-side // self.s) for side in size_of(forward.x)]

        def one(generator: torch.Generator) -> Tensor:
            grid = torch.rand(self.n, self.s * self.s, generator=generator) < self.p1
            shifts = [torch.randint(cell, (self.n, 1), generator=generator) for cell in cells]
            return torch.cat([grid.long(), *shifts], 1)

        both = drawn(forward, one)  # [B,n,s²+2]
        return both[..., :-2].unflatten(2, (self.s, self.s)).to(forward.x.dtype), both[..., -2:]

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        grids, shifts = self.draw(forward)
        rows, columns = (interpolation(side, self.s, forward.x) for side in size_of(forward.x))  # [c,H,s], [d,W,s]

        def perturb(image: Tensor, copy: Tensor) -> Tensor:
            down, right = shifts[image, copy].unbind(1)
            return forward.x[image] * (rows[down] @ grids[image, copy] @ columns[right].mT)[:, None]

        scores = score_inputs(split, perturb, self.n, forward.target)  # [B,n]
        weighted = scores[:, :, None, None] * grids  # [B,n,s,s]
        places = shifts[..., 0] * len(columns) + shifts[..., 1]  # [B,n]
        total = forward.x.new_zeros(len(scores), len(rows) * len(columns), self.s, self.s)
        total.scatter_add_(1, places[..., None, None].expand_as(weighted), weighted)
        upsampled = torch.einsum("chs,bcdst,dwt->bhw", rows, total.unflatten(1, (len(rows), len(columns))), columns)
        return upsampled / (self.n * self.p1)
