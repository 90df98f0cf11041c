"""What is asked of a network's output: a class of a softmax, one logit, one label of several, a value, a difference.

A target turns outputs [m,C] and an index [m] an image (the class, or label, that is explained) into one number an
image: its ``score``, of which gradients are taken and whose changes perturbations measure, and, where there is such a
thing, its ``confidence`` in [0,1], of which Average Drop, insertion and the like are made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.errors import CamsbenchError


class Target(Protocol):
    """What is asked of outputs [m,C]; ``index`` [m] says of which class or label."""

    @property
    def provides(self) -> frozenset[str]:
        """What methods and metrics may need of it: ``confidence`` in [0,1]; ``classes`` that stand beside the index."""
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
        """The confidence [m] in [0,1], differentiable; only where it is provided."""
        ...

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        """Its logarithm [m], without the rounding that taking it of the confidence would have."""
        ...


def at(output: Tensor, index: Tensor) -> Tensor:
    """The outputs [m,C] at ``index`` [m]: [m]."""
    return output.gather(1, index[:, None]).squeeze(1)


def confidence_or_score(target: Target, output: Tensor, index: Tensor) -> Tensor:
    """The confidence [m], or the score where there is none: what a perturbation's effect is measured on."""
    return (target.confidence if "confidence" in target.provides else target.score)(output, index)


@dataclass(frozen=True)
class SoftmaxClass:
    """One class of several that exclude each other: its logit, and its softmax probability."""

    provides: ClassVar[frozenset[str]] = frozenset({"confidence", "classes"})
    is_logit: ClassVar[bool] = True

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        return output.argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output.softmax(1), index)

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output.log_softmax(1), index)


@dataclass(frozen=True)
class Label:
    """One label of several that may all hold: its logit, and its sigmoid."""

    provides: ClassVar[frozenset[str]] = frozenset({"confidence", "classes"})
    is_logit: ClassVar[bool] = True

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        return output.argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index).sigmoid()

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return F.logsigmoid(at(output, index))


@dataclass(frozen=True)
class Binary:
    """One of two classes that one logit z tells apart: z and σ(z) of class 1, −z and σ(−z) of class 0.

    Without the sign the map of class 0 would be that of class 1.
    """

    provides: ClassVar[frozenset[str]] = frozenset({"confidence"})
    is_logit: ClassVar[bool] = False

    def indices(self, outputs: int) -> int:
        return 2

    def predict(self, output: Tensor) -> Tensor:
        return (output[:, 0] > 0).long()

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return output[:, 0] * (2 * index - 1)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return self.score(output, index).sigmoid()

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return F.logsigmoid(self.score(output, index))


@dataclass(frozen=True)
class Value:
    """A value that is regressed, one of the outputs; there is no confidence in it."""

    provides: ClassVar[frozenset[str]] = frozenset()
    is_logit: ClassVar[bool] = True

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        return torch.zeros(len(output), dtype=torch.long, device=output.device)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        raise TypeError("a regressed value has no confidence")

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        raise TypeError("a regressed value has no confidence")


@dataclass(frozen=True)
class Contrast:
    """Why this class rather than ``other``: the difference of their logits, and its sigmoid.

    The sigmoid is the softmax of the two alone.
    """

    other: int
    provides: ClassVar[frozenset[str]] = frozenset({"confidence"})
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

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return F.logsigmoid(self.score(output, index))


OUTPUTS: dict[str, Target] = {"softmax": SoftmaxClass(), "labels": Label(), "binary": Binary(), "value": Value()}
"""What a network's outputs are (``model.output``), and what is asked of them."""


def target_of(output: str) -> Target:
    """The target of a network whose outputs are ``output``.

    Raises:
        CamsbenchError: there is no such kind.
    """
    if output not in OUTPUTS:
        raise CamsbenchError(f"model.output={output}: choose one of {', '.join(OUTPUTS)}")
    return OUTPUTS[output]
