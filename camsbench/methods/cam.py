"""CAM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core import closed_forms
from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split
from camsbench.errors import CamsbenchError

TOLERANCE = 1e-4  # of the largest gradient: rounding stays far below, a head of another kind far above


def class_weight(split: Split, forward: Forward) -> Tensor:
    """w_k^c [B,K,1,1] of the target, for a head that is y_c = b_c + Σ_k w_k^c mean(A_k).

    Read off the classifier where the head is seen to have that form, and off the head's gradient elsewhere: it is then
    w_k^c/(hw) in every cell, whatever the activations. That is checked at the activations and at noise of both signs
    and of their scale, for every target of the batch.

    Raises:
        CamsbenchError: the head is no average pool and linear layer.
    """
    known = closed_forms.class_weight(split, forward.A, forward.target)
    if known is not None:
        return known
    A = forward.A
    gradient = head_gradient(split, forward)  # [B,K,h,w]
    weight = gradient.mean((2, 3), keepdim=True)
    noise = torch.randn(A.shape[1:], generator=torch.Generator().manual_seed(0)).to(A)
    elsewhere = head_gradient(split, replace(forward, A=noise * A.std((1, 2, 3), keepdim=True)))
    allowed = TOLERANCE * gradient.abs().amax((1, 2, 3), keepdim=True)
    if ((gradient - weight).abs() > allowed).any() or ((elsewhere - weight).abs() > allowed).any():
        raise CamsbenchError(
            f"method=cam needs an average pool and a linear layer behind the target layer, and {split.name} at layer "
            f"'{split.layer}' has another head: use method=gradcam, or another model.layer"
        )
    return weight * (A.shape[2] * A.shape[3])


@dataclass(frozen=True)
class CAM:
    """CAM (Zhou et al. 2016; Byun and Lee 2024, Eq. 1): ReLU(Σ_k w_k^c A_k), w^c the classifier's own weights.

    For heads of an average pool and one linear layer only. Where the classifier cannot be read off the head itself,
    its gradient gives the weights (see ``class_weight``), so that a linear layer, a 1×1 convolution and a normalisation
    between them all serve. torchcam applies no ReLU.

    Returns:
        Raw map [B,h,w], at least 0.

    Raises:
        CamsbenchError: the network has another head.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("CAM", "Zhou et al.", 2016, "classifier CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return (class_weight(split, forward) * forward.A).sum(1).relu()
