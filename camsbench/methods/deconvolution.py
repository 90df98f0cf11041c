"""Deconvolution."""

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
class Deconvolution:
    """Deconvolution (Zeiler and Fergus 2014, section 2.1): the gradient of the target's logit, ReLU'd at each ReLU.

    Each ReLU passes back ReLU(gradient), whatever it passed forward; max pooling passes back through its switches. As
    in the implementations of today the logit is projected down, not one feature. ReLU6 is a ReLU here (captum leaves
    its gradient alone); other activations keep their gradient. The colour channels are reduced as in TorchRay.

    Args:
        reduce: over the colour channels: ``abs_max`` (largest magnitude), ``abs_sum`` or ``sum``.

    Returns:
        Raw map [B,H,W].
    """

    reduce: str = "abs_max"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("Deconvolution", "Zeiler and Fergus", 2014, "backpropagation")

    def __post_init__(self) -> None:
        check_choices(self, reduce=REDUCTIONS)

    def check(self, split: Split) -> None:
        refuse_without_rectifiers(split)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = input_gradient(split, forward.x, forward.target, rectifier_rules(guided=False))
        return reduce_channels(gradient, self.reduce)
