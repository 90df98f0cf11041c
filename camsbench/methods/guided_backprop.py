"""Guided backpropagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods._applies import refuse_without_rectifiers
from camsbench.methods._pixelwise import REDUCTIONS, input_gradient, reduce_channels
from camsbench.methods._rules import rectifier_rules


@dataclass(frozen=True)
class GuidedBackprop:
    """Guided backpropagation (Springenberg et al. 2015, section 3.4): a ReLU passes back ReLU(gradient)·[x > 0].

    ReLU6 is a ReLU here, which passes back where 0 < x < 6 (captum leaves its gradient alone); other activations keep
    their gradient. The colour channels are reduced as in TorchRay.

    Args:
        reduce: over the colour channels: ``abs_max`` (largest magnitude), ``abs_sum`` or ``sum``.

    Returns:
        Raw map [B,H,W].
    """

    reduce: str = "abs_max"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("Guided backpropagation", "Springenberg et al.", 2015, "backpropagation")

    def __post_init__(self) -> None:
        check_choices(self, reduce=REDUCTIONS)

    def check(self, split: Split) -> None:
        refuse_without_rectifiers(split)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = input_gradient(split, forward.x, forward.target, rectifier_rules(guided=True))
        return reduce_channels(gradient, self.reduce)
