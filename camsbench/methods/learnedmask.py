"""What meaningful and extremal perturbation share: the gradient of an objective with respect to an image's mask."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import Split

Objective = Callable[[Tensor, slice], Tensor]
"""``(mask[m,...], chunk) -> [m]``: the loss of the masks of the images ``chunk`` of the batch."""


def mask_gradient(split: Split, mask: Tensor, objective: Objective) -> Tensor:
    """The gradient of each image's own loss with respect to its own mask, of the shape of ``mask`` [B,...]."""

    def work(chunk: slice) -> Tensor:
        with torch.enable_grad():
            leaf = mask[chunk].detach().requires_grad_()
            return torch.autograd.grad(objective(leaf, chunk).sum(), leaf)[0]

    return in_micro_batches(split.micro_batch, len(mask), work)
