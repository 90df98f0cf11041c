"""Layer-wise relevance propagation to the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods._applies import frozen
from camsbench.methods._pixelwise import REDUCTIONS, gradient_of, reduce_channels
from camsbench.methods._relevance import RULES, RelevanceRules, refuse_without_rules


@dataclass(frozen=True)
class LRP:
    """LRP (Bach et al. 2015, Eq. 58 and 60): relevance of the target's logit, passed down to the pixels.

    ``epsilon`` is captum's LRP at its defaults; on a ReLU network it nears gradient × input as epsilon falls. Unlike
    captum it goes through skip connections, reused ReLUs and ReLU6 (see ``camsbench.methods._relevance``). ``zplus`` is
    the α1β0 rule, in every layer. Heat maps of LRP add the relevance of a pixel's channels up, with its sign.

    Args:
        rule: ``epsilon`` or ``zplus``.
        epsilon: what the epsilon rule adds to the denominator, by its sign.
        reduce: over the colour channels: ``sum`` (signed), ``abs_sum`` or ``abs_max``.

    Returns:
        Raw map [B,H,W].
    """

    rule: str = "epsilon"
    epsilon: float = 1e-9
    reduce: str = "sum"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("LRP", "Bach et al.", 2015, "backpropagation")

    def __post_init__(self) -> None:
        check_choices(self, rule=RULES)
        if self.epsilon <= 0:
            raise ValueError(f"epsilon={self.epsilon}: it must be above 0")
        check_choices(self, reduce=REDUCTIONS)

    def check(self, split: Split) -> None:
        refuse_without_rules(split, self.rule)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return reduce_channels(self.relevance(split, forward), self.reduce)

    def relevance(self, split: Split, forward: Forward) -> Tensor:
        """Relevance [B,3,H,W] of each value of the image; it adds up to the logit, but for what biases absorb."""

        def work(chunk: slice) -> Tensor:
            with torch.enable_grad():
                leaf = forward.x[chunk].detach().requires_grad_()
                with frozen(split), RelevanceRules(self.rule, self.epsilon):
                    logits = split.logits(leaf)
                score = split.asked.score(logits, forward.target[chunk])
                return gradient_of((score * score.detach()).sum(), leaf)  # starts with the logit at the target

        return in_micro_batches(split.micro_batch, len(forward.x), work)
