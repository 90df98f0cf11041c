"""Average drop and increase in confidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.explained import Explained


def drop(explained: Explained) -> Tensor:
    """max(0, Y − O)/Y [B] in [0,1]: Y is the target's probability for the image, O for the image ⊙ saliency."""
    before, after = explained.forward.probability, explained.masked.probability
    return torch.where(before > 0, (before - after).clamp(min=0) / before, 0)  # nothing can be lost of 0


@dataclass(frozen=True)
class Drop:
    """Average Drop (Chattopadhay et al. 2018, section 4.1), as an image's share of the confidence that is lost."""

    columns: ClassVar[Mapping[str, str]] = {"drop": "lower"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"drop": drop(explained)}


@dataclass(frozen=True)
class Increase:
    """Increase in Confidence (Chattopadhay et al. 2018, section 4.1): 1 where O > Y, else 0."""

    columns: ClassVar[Mapping[str, str]] = {"increase": "higher"}

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        return {"increase": (explained.masked.probability > explained.forward.probability).float()}
