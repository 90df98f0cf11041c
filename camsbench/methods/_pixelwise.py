"""What pixel attribution methods share: the gradient at the input, and what becomes of its colour channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import Forward, Split

REDUCTIONS = ("abs_sum", "abs_max", "sum")

Copies = Callable[[Sequence[int], Sequence[int]], Tensor]
"""``(image, copy) -> [m,3,H,W]``: copy ``copy[j]`` of image ``image[j]`` of the batch, for j < m."""


def reduce_channels(attribution: Tensor, reduce: str) -> Tensor:
    """One value a pixel [B,H,W] of an attribution [B,3,H,W] to the channels of a pixel."""
    if reduce == "sum":
        return attribution.sum(1)
    return attribution.abs().sum(1) if reduce == "abs_sum" else attribution.abs().amax(1)


def gradient_of(score: Tensor, at: Tensor) -> Tensor:
    """∂score/∂at; zeros where the score does not depend on ``at``."""
    if not score.requires_grad:
        return torch.zeros_like(at)
    return torch.autograd.grad(score, at, materialize_grads=True)[0]


def input_gradient(split: Split, x: Tensor, target: Tensor, rules: AbstractContextManager[Any] | None = None) -> Tensor:
    """∂y_c/∂x [B,3,H,W] of the target's logit, by the backward rules ``rules`` (see ``camsbench.methods._rules``)."""

    def work(chunk: slice) -> Tensor:
        with torch.enable_grad():
            leaf = x[chunk].detach().requires_grad_()
            with rules or nullcontext():
                logits = split.logits(leaf)
            return gradient_of(split.asked.score(logits, target[chunk]).sum(), leaf)

    return in_micro_batches(split.micro_batch, len(x), work)


def weighted_gradient(split: Split, forward: Forward, copies: Copies, weight: Tensor) -> Tensor:
    """Σ_n weight_n ∂y_c/∂x [B,3,H,W] over the copies n of each image, for ``weight`` [n].

    The copies are made in the micro-batch and their gradients added up there, so memory does not grow with n.
    """
    total = torch.zeros_like(forward.x)
    pairs = [(i, n) for i in range(len(forward.x)) for n in range(len(weight))]

    def work(chunk: slice) -> Tensor:
        image, copy = [i for i, _ in pairs[chunk]], [n for _, n in pairs[chunk]]
        gradient = input_gradient(split, copies(image, copy), forward.target[image])
        gradient = gradient * weight[copy][:, None, None, None]
        total.index_add_(0, torch.tensor(image, device=total.device), gradient)  # last, so that a retry adds once
        return gradient.new_empty(len(image), 0)

    in_micro_batches(split.micro_batch, len(pairs), work)
    return total
