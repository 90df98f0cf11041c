"""Attention rollout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.methods._attention import attentions
from camsbench.methods._blocks import Blocks


@dataclass(frozen=True)
class AttentionRollout:
    """Attention rollout (Abnar and Zuidema 2020, section 3): the product over blocks of ½A + ½I, A the mean of heads.

    How much of each patch, by its attention alone, is in the token that the head reads: the class token, or the mean
    of those that it averages. It does not look at the target: maps of two classes are the same.

    Returns:
        Raw map [B,h,w], at least 0.

    Raises:
        CamsbenchError: the network's attention is not of every token to every other.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"modules"})
    about: ClassVar[About] = About("Attention rollout", "Abnar and Zuidema", 2020, "attention")

    def check(self, split: Split) -> None:
        Blocks.of(split)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        blocks = Blocks.of(split)

        @torch.no_grad()
        def rolled(chunk: slice) -> Tensor:
            mixed = [0.5 * p.mean(1) + 0.5 * _eye(p) for p in attentions(split, forward.x[chunk])]  # [m,N,N]
            row = mixed[-1][:, blocks.read].mean(1, keepdim=True)  # [m,1,N]
            for block in reversed(mixed[:-1]):
                row = row @ block
            return blocks.patches(row.squeeze(1))

        return in_micro_batches(split.micro_batch, len(forward.x), rolled)


def _eye(attention: Tensor) -> Tensor:
    return torch.eye(attention.shape[-1], device=attention.device, dtype=attention.dtype)
