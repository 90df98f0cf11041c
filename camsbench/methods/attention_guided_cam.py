"""Attention-guided CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.methods._attention import attention_gradients
from camsbench.methods._blocks import Blocks


@dataclass(frozen=True)
class AttentionGuidedCAM:
    """Attention-guided CAM (Leem and Seo 2024, Eq. 2 and 7-8): Σ over blocks and heads of ReLU(∂y_c/∂A) ⊙ σ(S).

    S are an attention's scores and A = softmax(S) its probabilities, both of the token that the head reads: a sigmoid
    leaves the peaks of a softmax out. Where the head averages tokens, so are their rows.

    Returns:
        Raw map [B,h,w], at least 0.

    Raises:
        CamsbenchError: the network's attention is not of every token to every other.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("Attention-guided CAM", "Leem and Seo", 2024, "attention")

    def check(self, split: Split) -> None:
        Blocks.of(split)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        blocks = Blocks.of(split)
        read = blocks.read

        def guided(chunk: slice) -> Tensor:
            _, scores, gradients = attention_gradients(split, forward.x[chunk], forward.target[chunk])
            maps = [
                (g[:, :, read].relu() * s[:, :, read].sigmoid()).sum(1).mean(1)
                for g, s in zip(gradients, scores, strict=True)
            ]
            return blocks.patches(torch.stack(maps).sum(0))

        return in_micro_batches(split.micro_batch, len(forward.x), guided)
