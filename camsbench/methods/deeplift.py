"""DeepLIFT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods._applies import refuse_attention
from camsbench.methods._pixelwise import REDUCTIONS, gradient_of, reduce_channels
from camsbench.methods._rules import ACTIVATIONS, Function, Rules

STILL = 1e-10  # an input that moved less passes the gradient itself, as in captum
TIE = 1e-5  # two cells of a baseline this close, relative to their value, are as high as each other


def rescale_rules() -> Rules:
    """For a batch of images and then their baselines: activations pass back gradient · Δout/Δin."""
    return Rules({**dict.fromkeys(ACTIVATIONS, _rescale), F.max_pool2d: _max_pool, torch.max_pool2d: _max_pool})


@dataclass(frozen=True)
class DeepLIFT:
    """DeepLIFT (Shrikumar et al. 2017, Eq. 3-5 and the rescale rule): x ⊙ m, m the multiplier of y_c against y_c(0).

    Activations pass back Δout/Δin in place of their slope, in the network's own pass of image and zero baseline (0 in
    the normalised input space); max pooling shares Δout by captum's rule. So the contributions add up to
    y_c(x) − y_c(0) in a network of convolutions, linear layers, BatchNorms, activations, max pools and sums; products
    of activations keep their gradient. captum's DeepLift is the same, but for ties in max pools; it refuses reused
    ReLUs (ResNet), leaves ReLU6 its gradient, and, as of 0.9, loses the rule of a max pool right behind a ReLU (VGG),
    so that its contributions do not add up there. The colour channels are added up with their sign.

    Args:
        reduce: over the colour channels: ``sum`` (signed), ``abs_sum`` or ``abs_max``.

    Returns:
        Raw map [B,H,W].
    """

    reduce: str = "sum"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("DeepLIFT", "Shrikumar et al.", 2017, "backpropagation")

    def __post_init__(self) -> None:
        check_choices(self, reduce=REDUCTIONS)

    def check(self, split: Split) -> None:
        refuse_attention(split, "whose products of activations have no rescale rule: use method=integrated_gradients")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return reduce_channels(self.contributions(split, forward), self.reduce)

    def contributions(self, split: Split, forward: Forward) -> Tensor:
        """C [B,3,H,W] of each value of the image."""

        def work(chunk: slice) -> Tensor:
            x, target = forward.x[chunk], forward.target[chunk]
            with torch.enable_grad():
                leaf = torch.cat([x, torch.zeros_like(x)]).requires_grad_()
                with rescale_rules():
                    logits = split.logits(leaf)
                score = split.asked.score(logits, torch.cat([target, target]))
                multiplier, _ = gradient_of(score.sum(), leaf).chunk(2)
            return x * multiplier

        return in_micro_batches(split.micro_batch, len(forward.x), work)


def _rescale(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _Rescale.apply(lambda z: function(z, *args, **kwargs), x)


def _max_pool(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    kwargs.pop("return_indices", None)
    return _MaxPool.apply(lambda z, indices: F.max_pool2d(z, *args, return_indices=indices, **kwargs), x)


def _slope(function: Function, x: Tensor, gradient: Tensor) -> Tensor:
    """The plain backward pass of ``function`` at ``x``."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf, gradient)[0]


def _difference(x: Tensor) -> Tensor:
    """Images less baselines, once for each."""
    image, baseline = x.chunk(2)
    return (image - baseline).repeat(2, *[1] * (x.ndim - 1))


class _Rescale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Function, x: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(x)
        return function(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (x,) = ctx.saved_tensors
        moved = _difference(x)
        still = moved.abs() < STILL
        ratio = _difference(ctx.function(x)) / torch.where(still, 1, moved)
        return None, torch.where(still, _slope(ctx.function, x, grads[0]), grads[0] * ratio)


class _MaxPool(torch.autograd.Function):
    """captum's rule: gradient · Δout goes to the winner in the image where the maximum grew, else in the baseline.

    The maps of a zero image are constant inside, where rounding alone would choose the baseline's winner: there it is
    the image's.
    """

    @staticmethod
    def forward(ctx: Any, function: Function, x: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(x)
        return function(x, False)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (x,) = ctx.saved_tensors
        out, index = ctx.function(x, True)
        (image, baseline), (at, home) = out.flatten(2).chunk(2), index.flatten(2).chunk(2)
        tied = x.chunk(2)[1].flatten(2).gather(2, at) >= baseline - TIE * baseline.abs()
        top = torch.maximum(image, baseline)
        to_image, to_baseline = (grads[0].flatten(2) * torch.cat([top - baseline, image - top])).chunk(2)
        moved = _difference(x)
        shared = torch.zeros_like(moved.chunk(2)[0]).flatten(2)
        shared = shared.scatter_add(2, at, to_image).scatter_add(2, torch.where(tied, at, home), to_baseline)
        shared = shared.view_as(x.chunk(2)[0]).repeat(2, 1, 1, 1)
        still = moved.abs() < STILL
        plain = _slope(lambda z: ctx.function(z, False), x, grads[0])
        return None, torch.where(still, plain, shared / torch.where(still, 1, moved))
