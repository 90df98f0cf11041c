"""Average drop, average gain and increase in confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import KINDS, SPACES, Explained
from camsbench.errors import check_choices

FORMULAS = ("relative", "absolute")


@dataclass(frozen=True)
class Masked:
    """Settings of the masked image that drop and increase share (see ``camsbench.core.explained``).

    Args:
        mask: ``soft``, ``soft_top50`` or ``binary_top50``.
        space: ``normalised`` or ``pixels``: what the mask multiplies.
    """

    mask: str = "soft"
    space: str = "normalised"
    needs: ClassVar[frozenset[str]] = frozenset({"confidence"})

    def __post_init__(self) -> None:
        check_choices(self, mask=KINDS, space=SPACES)

    def after(self, explained: Explained) -> Tensor:
        """O [B]: the target's probability for the masked image."""
        return explained.masked_by(self.mask, self.space).probability


@dataclass(frozen=True)
class Drop(Masked):
    """Average Drop (Chattopadhay et al. 2018, section 4.1), as an image's share of the confidence that is lost.

    Y is the target's probability for the image, O for the masked image. ``formula`` ``relative`` is max(0, Y − O)/Y,
    the paper's; ``absolute`` is max(0, Y − O), as grad-cam and openvino-xai have it. In [0,1].
    """

    formula: str = "relative"
    columns: ClassVar[tuple[Column, ...]] = (Column("drop", "lower", percent=True, title="Drop"),)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choices(self, formula=FORMULAS)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        before = explained.forward.probability
        lost = (before - self.after(explained)).clamp(min=0)
        if self.formula == "relative":
            lost = torch.where(before > 0, lost / before, 0)  # nothing can be lost of 0
        return {"drop": lost}


@dataclass(frozen=True)
class Increase(Masked):
    """Increase in Confidence (Chattopadhay et al. 2018, section 4.1): 1 where O > Y, else 0."""

    columns: ClassVar[tuple[Column, ...]] = (Column("increase", "higher", percent=True, title="Inc"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"increase": (self.after(explained) > explained.forward.probability).float()}


@dataclass(frozen=True)
class AverageGain(Masked):
    """Average Gain (Zhang et al. 2024, Opti-CAM), as an image's share of what it lacks: max(0, O − Y)/(1 − Y).

    Y is the target's probability for the image, O for the masked image. In [0,1]; 0 where Y is 1, of which nothing can
    be gained. Both are taken of the logits in double precision: 1 − Y of a network that is sure of its class is below
    what single precision tells from 0. Xplique adds an epsilon to 1 − Y.
    """

    columns: ClassVar[tuple[Column, ...]] = (Column("average_gain", "higher", percent=True, title="Gain"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        masked = explained.masked_by(self.mask, self.space)
        before, after = (one.asked.confidence(one.logits.double(), one.target) for one in (explained.forward, masked))
        gained = (after - before).clamp(min=0)
        share = torch.where(before < 1, gained / (1 - before), 0)
        return {"average_gain": share.to(explained.forward.probability)}
