"""Relevance-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods._applies import frozen
from camsbench.methods._relevance import RelevanceRules, refuse_without_rules

SEEDS = ("paper", "code")


def contrastive_relevance(split: Split, forward: Forward, others: float) -> Tensor:
    """Relevance R [B,K,h,w] of the activations, from 1 at the target and ``others`` at every other class."""

    def work(chunk: slice) -> Tensor:
        with torch.enable_grad():
            leaf = forward.A[chunk].detach().requires_grad_()
            with frozen(split), RelevanceRules("zplus"):
                logits = split.head(leaf, *forward.beside_of(chunk))
        seed = torch.full_like(logits, others).scatter(1, forward.target[chunk, None], 1)
        return torch.autograd.grad(logits, leaf, seed)[0]

    return in_micro_batches(split.micro_batch, len(forward.A), work)


@dataclass(frozen=True)
class RelevanceCAM:
    """Relevance-CAM (Lee et al. 2021, section 3): Σ_k mean(R_k) A_k, R the contrastive relevance of A; no ReLU.

    Relevance goes from the logits down to the target layer by the z⁺ rule (see ``camsbench.methods._relevance``), and
    through skip connections in proportion to their branches. As the authors' code, but for a convolution's bias, which
    that adds to the denominator twice (VGG), and BatchNorms, through which it passes nothing where their input is 0.

    Args:
        seed: relevance of the C − 1 other classes: ``paper`` −1/(C−1), so that all relevance adds up to 0; ``code``
            −1/C, as the authors' code has it. It matters: where the classes' relevance is alike, as on random
            weights, the 1/C left over shows.

    Returns:
        Raw map [B,h,w].
    """

    seed: str = "paper"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules", "classes"})
    about: ClassVar[About] = About("Relevance-CAM", "Lee et al.", 2021, "relevance CAM")

    def __post_init__(self) -> None:
        check_choices(self, seed=SEEDS)

    def check(self, split: Split) -> None:
        refuse_without_rules(split, "zplus", head=True)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        classes = forward.logits.shape[1]
        others = -1 / max(classes - 1, 1) if self.seed == "paper" else -1 / classes
        relevance = contrastive_relevance(split, forward, others)
        return (relevance.mean((2, 3), keepdim=True) * forward.A).sum(1)
