"""LeGrad."""

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
class LeGrad:
    """LeGrad (Bousselham et al. 2024, Eq. 7-10): ReLU(∂s/∂A), averaged over heads, queries and blocks.

    A is the block's attention, s the target's score of the block's own output: of the mean of its tokens, through the
    network's last norm and classifier. Attention itself is not multiplied in. The keys of the class token and of other
    tokens that are no patch are dropped.

    Args:
        blocks: how many blocks, the last ones; None: all, as the paper's best setting has it.

    Returns:
        Raw map [B,h,w], at least 0.

    Raises:
        CamsbenchError: the network's attention is not of every token to every other, or its head attends.
    """

    blocks: int | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("LeGrad", "Bousselham et al.", 2024, "attention")

    def __post_init__(self) -> None:
        if self.blocks is not None and self.blocks < 1:
            raise ValueError(f"blocks={self.blocks}: it must be at least 1, or null for all")

    def check(self, split: Split) -> None:
        Blocks.of(split)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        blocks = Blocks.of(split)

        def legrad(chunk: slice) -> Tensor:
            target, found = forward.target[chunk], list[Tensor]()

            def keep(probabilities: Tensor, _: Tensor) -> Tensor:
                found.append(probabilities.detach().requires_grad_())
                return found[-1]

            with torch.enable_grad():
                with opened(keep):
                    outputs = blocks.outputs(forward.x[chunk])
                maps = []
                for attention, tokens in list(zip(found, outputs, strict=True))[-(self.blocks or 0) :]:
                    mean = tokens.mean(1, keepdim=True).expand_as(tokens)  # whatever the head pools, it gets the mean
                    score = split.asked.score(blocks.tail(mean), target).sum()
                    gradient = torch.autograd.grad(score, attention, materialize_grads=True)[0]
                    maps.append(gradient.relu().mean((1, 2)))
            return blocks.patches(torch.stack(maps).mean(0))

        return in_micro_batches(split.micro_batch, len(forward.x), legrad)
