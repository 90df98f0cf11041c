"""Transformer attribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.methods._attention import opened
from camsbench.methods._blocks import Blocks


@dataclass(frozen=True)
class TransformerAttribution:
    """Transformer attribution by gradients (Chefer et al. 2021b, Eq. 5-6): R = Π (I + mean of heads of ReLU(∇A ⊙ A)).

    ∇A is the gradient of the target's logit at a block's attention A. This is the generic form of "Generic
    Attention-model Explainability"; that of "Transformer Interpretability Beyond Attention Visualization" has the
    relevance of A by LRP in place of A. The map is the row of R of the token that the head reads, or the mean of those.

    Returns:
        Raw map [B,h,w], at least 0.

    Raises:
        CamsbenchError: the network's attention is not of every token to every other.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("Transformer attribution", "Chefer et al.", 2021, "attention")

    def check(self, split: Split) -> None:
        Blocks.of(split)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        blocks = Blocks.of(split)

        def attributed(chunk: slice) -> Tensor:
            found, gradients = attention_gradients(split, forward.x[chunk], forward.target[chunk])
            row = torch.zeros(len(found[0]), 1, found[0].shape[-1], device=forward.x.device, dtype=found[0].dtype)
            row[:, :, list(blocks.read)] = 1 / len(blocks.read)
            for attention, gradient in zip(reversed(found), reversed(gradients), strict=True):
                row = row + row @ (gradient * attention).relu().mean(1)
            return blocks.patches(row.squeeze(1))

        return in_micro_batches(split.micro_batch, len(forward.x), attributed)


def attention_gradients(split: Split, x: Tensor, target: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The probabilities [B,H,N,N] of each attention, and the gradients of the target's logit at them."""
    found: list[Tensor] = []

    def keep(probabilities: Tensor) -> Tensor:
        found.append(probabilities if probabilities.requires_grad else probabilities.requires_grad_())
        return found[-1]

    with torch.enable_grad():
        with opened(keep):
            logits = split.plain.logits(x)  # whose last attention has all its queries
        gradients = torch.autograd.grad(split.asked.score(logits, target).sum(), found, materialize_grads=True)
    return [p.detach() for p in found], list(gradients)
