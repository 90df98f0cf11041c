"""Linear imputation: pixels that are taken away become the weighted mean of their neighbours, all at once.

The system is a discrete Laplace equation. A sparse factorisation would run on the host, one image after the other; here
a conjugate gradient, preconditioned by a multigrid cycle, solves all images of a micro-batch on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

TOLERANCE = (
    1e-5  # largest residual, in the image's unit: pixels within 7e-4 of the exact ones at 90 % removed (measured)
)
MOST_STEPS = 100  # holes of real saliencies take 6 to 16
COARSEST = 4  # pixels along a side below which a hole is not halved any more

NEIGHBOURS = torch.tensor([[1.0, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
HALVING = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64  # bilinear, transposed


@dataclass(frozen=True)
class Hole:
    """The pixels to impute, at one resolution, and the equation that holds there."""

    inside: Tensor  # [m,1,h,w] 1 where a pixel is missing, else 0
    weight: Tensor  # [1,1,h,w] sum of the weights of a pixel's neighbours: 1, less at the image's border

    @classmethod
    def of(cls, inside: Tensor) -> Hole:
        return cls(inside, _neighbours(torch.ones_like(inside[:1])))

    def apply(self, u: Tensor) -> Tensor:
        """The left hand side Au [m,C,h,w] for ``u`` [m,C,h,w], which is 0 outside the hole: symmetric, positive."""
        return self.weight * u - self.inside * _neighbours(u)

    def halved(self) -> Hole:
        """The hole at half the resolution: cells all of whose pixels are missing."""
        odd = (0, self.inside.shape[-1] % 2, 0, self.inside.shape[-2] % 2)
        return Hole.of(-F.max_pool2d(-F.pad(self.inside, odd, value=1.0), 2))


def impute_linearly(images: Tensor, removed: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Images [m,C,H,W] whose ``removed`` pixels [m,1,H,W] (bool) solve the linear imputation (Rong et al. 2022).

    Each removed pixel equals the weighted mean of its neighbours inside the image: 1/6 for the four direct ones, 1/12
    for the four diagonal ones, over the sum of those that exist. An image without any pixel left has no solution, and
    gets zeros. Each image is solved on its own, so that it gets the same pixels in any batch.

    Args:
        images: float, in any unit.
        removed: the pixels to fill.
        tolerance: the largest residual of any pixel at which an image's channel counts as solved, in the images' unit.
    """
    hole = Hole.of(removed.to(images.dtype))
    known = images * (1 - hole.inside)
    share = (1 - hole.inside).sum((2, 3), keepdim=True)
    start = known.sum((2, 3), keepdim=True) / share.clamp(min=1) * hole.inside
    right = hole.inside * _neighbours(known)
    return known + _conjugate_gradient(hole, right, start, tolerance)


def _conjugate_gradient(hole: Hole, right: Tensor, u: Tensor, tolerance: float) -> Tensor:
    """The solution of Au = ``right``; a channel that is solved is left alone while others go on."""
    holes = _pyramid(hole)
    residual = right - hole.apply(u)
    z = direction = _cycle(residual, holes)
    size = _dot(residual, z)
    for _ in range(MOST_STEPS):
        open_ = residual.abs().amax((2, 3), keepdim=True) > tolerance
        if not open_.any():
            break
        step = hole.apply(direction)
        length = torch.where(open_, size / _dot(direction, step), 0)
        u, residual = u + length * direction, residual - length * step
        z = _cycle(residual, holes)
        before, size = size, _dot(residual, z)
        direction = z + torch.where(open_, size / before, 0) * direction
    return u


def _pyramid(hole: Hole) -> list[Hole]:
    holes = [hole]
    while min(holes[-1].inside.shape[-2:]) > COARSEST:
        holes.append(holes[-1].halved())
    return holes


def _cycle(residual: Tensor, holes: list[Hole]) -> Tensor:
    """One symmetric V-cycle for Ae = ``residual``: the preconditioner.

    A Jacobi step without damping divides the error's high frequencies by at least 3, as A's symbol is 1 ± 1/3 there.
    """
    hole, *coarser = holes
    e = residual / hole.weight
    if coarser:
        left = 4 * _halve(residual - hole.apply(e))  # the equation at twice the distance: a quarter of the curvature
        e = e + hole.inside * _double(_cycle(left * coarser[0].inside, coarser), e)
    return e + (residual - hole.apply(e)) / hole.weight


def _neighbours(u: Tensor) -> Tensor:
    return _planewise(F.conv2d, u, _kernels(u.device, u.dtype)[0], padding=1)


def _halve(u: Tensor) -> Tensor:
    padded = F.pad(u, (1, 1 + u.shape[-1] % 2, 1, 1 + u.shape[-2] % 2))
    return _planewise(F.conv2d, padded, _kernels(u.device, u.dtype)[1], stride=2)


def _double(u: Tensor, like: Tensor) -> Tensor:
    doubled = _planewise(F.conv_transpose2d, u, 4 * _kernels(u.device, u.dtype)[1], stride=2, padding=1)
    return doubled[..., : like.shape[-2], : like.shape[-1]]


@lru_cache
def _kernels(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """The two kernels [1,1,k,k], sent to a device once."""
    with torch.inference_mode(mode=False):
        first, second = (kernel.to(device, dtype)[None, None] for kernel in (NEIGHBOURS, HALVING))
    return first, second


def _planewise(convolve: Callable[..., Tensor], u: Tensor, kernel: Tensor, **options: int) -> Tensor:
    """A convolution of each plane of ``u`` [m,C,h,w] by one kernel."""
    planes = u.reshape(-1, 1, *u.shape[-2:])
    out = convolve(planes, kernel, **options)
    return out.view(*u.shape[:2], *out.shape[-2:])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((2, 3), keepdim=True)
