"""What is asked of a network's output: a class of a softmax, one logit, one label of several, a value, a difference.

A target turns outputs [m,C] and an index [m] an image (the class, or label, that is explained) into one number an
image: its ``score``, of which gradients are taken and whose changes perturbations measure, and, where there is such a
thing, its ``confidence`` in [0,1], of which Average Drop, insertion and the like are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Target(Protocol):
    """What is asked of outputs [m,C]; ``index`` [m] says of which class or label."""

    @property
    def has_confidence(self) -> bool:
        """Whether there is a confidence in [0,1]."""
        ...

    @property
    def is_logit(self) -> bool:
        """Whether the score is the output at the index, so that closed forms of linear heads hold for it."""
        ...

    def indices(self, outputs: int) -> int:
        """How many indices there are for ``outputs`` outputs an image."""
        ...

    def predict(self, output: Tensor) -> Tensor:
        """The index [m] that the network itself would say."""
        ...

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        """The score [m], differentiable; not bounded."""
        ...

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        """The confidence [m] in [0,1], differentiable; only where ``has_confidence``."""
        ...


def at(output: Tensor, index: Tensor) -> Tensor:
    """The outputs [m,C] at ``index`` [m]: [m]."""
    return output.gather(1, index[:, None]).squeeze(1)


def confidence_or_score(target: Target, output: Tensor, index: Tensor) -> Tensor:
    """The confidence [m], or the score where there is none: what a perturbation's effect is measured on."""
    return (target.confidence if target.has_confidence else target.score)(output, index)


@dataclass(frozen=True)
class SoftmaxClass:
    """One class of several that exclude each other: its logit, and its softmax probability."""

    has_confidence: ClassVar[bool] = True
    is_logit: ClassVar[bool] = True

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        return output.argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output.softmax(1), index)


@dataclass(frozen=True)
class Label:
    """One label of several that may all hold: its logit, and its sigmoid."""

    has_confidence: ClassVar[bool] = True
    is_logit: ClassVar[bool] = True

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        return output.argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index).sigmoid()


@dataclass(frozen=True)
class Binary:
    """One of two classes that one logit z tells apart: z and σ(z) of class 1, −z and σ(−z) of class 0.

    Without the sign the map of class 0 would be that of class 1.
    """

    has_confidence: ClassVar[bool] = True
    is_logit: ClassVar[bool] = False

    def indices(self, outputs: int) -> int:
        return 2

    def predict(self, output: Tensor) -> Tensor:
        return (output[:, 0] > 0).long()

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return output[:, 0] * (2 * index - 1)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return self.score(output, index).sigmoid()


@dataclass(frozen=True)
class Value:
    """A value that is regressed, one of the outputs; there is no confidence in it."""

    has_confidence: ClassVar[bool] = False
    is_logit: ClassVar[bool] = True

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        return torch.zeros(len(output), dtype=torch.long, device=output.device)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        raise TypeError("a regressed value has no confidence")


@dataclass(frozen=True)
class Contrast:
    """Why this class rather than ``other``: the difference of their logits, and its sigmoid.

    The sigmoid is the softmax of the two alone.
    """

    other: int
    has_confidence: ClassVar[bool] = True
    is_logit: ClassVar[bool] = False

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        """The first class but the other one."""
        return output.index_fill(1, torch.tensor([self.other], device=output.device), -torch.inf).argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index) - output[:, self.other]

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return self.score(output, index).sigmoid()
