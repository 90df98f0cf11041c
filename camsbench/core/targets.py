"""What is asked of a network's output: a class of a softmax, one logit, one label of several, a value, a difference.

A target turns outputs [m,C] and an index [m] an image (the class, or label, that is explained) into one number an
image: its ``score``, of which gradients are taken and whose changes perturbations measure, and, where there is such a
thing, its ``confidence`` in [0,1], of which Average Drop, insertion and the like are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.errors import CamsbenchError

CONFIDENCE, CLASSES = "confidence", "classes"


class Target(Protocol):
    """What is asked of outputs [m,C] (of some targets, [m,C,H,W]); ``index`` [m] says of which class or label."""

    @property
    def provides(self) -> frozenset[str]:
        """What methods and metrics may need of it: ``confidence`` in [0,1]; ``classes`` that stand beside the index."""
        ...

    @property
    def is_logit(self) -> bool:
        """Whether the score is the output at the index, so that closed forms of linear heads hold for it."""
        ...

    @property
    def squashes(self) -> bool:
        """Whether a softmax or sigmoid is taken of the outputs, which therefore must not have had one."""
        ...

    def refusal(self, shape: Sequence[int]) -> str | None:
        """Why outputs of this shape, of one image, cannot be asked, and what to do; None where they can."""
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
    return (target.confidence if CONFIDENCE in target.provides else target.score)(output, index)


def refuse_shape(target: Target, shape: Sequence[int], name: str) -> None:
    """See that outputs of this ``shape``, of one image, can be asked.

    Raises:
        CamsbenchError: they cannot.
    """
    if refusal := target.refusal(shape):
        raise CamsbenchError(f"{name} gives {list(shape)} an image, {refusal}")


@dataclass(frozen=True)
class _Vector:
    """What targets of outputs [m,C] have in common, unless they say otherwise."""

    provides: ClassVar[frozenset[str]] = frozenset({CONFIDENCE, CLASSES})
    is_logit: ClassVar[bool] = True
    squashes: ClassVar[bool] = True

    def refusal(self, shape: Sequence[int]) -> str | None:
        if len(shape) == 3 and list(shape[1:]) == [1, 1]:
            return "not logits [C]: append nn.Flatten(1)"
        if len(shape) == 3:
            return "scores for every place, not logits [C]: choose a classifier, pool its output, or ask for a Region"
        return None if len(shape) == 1 else "not logits [C]: wrap it so that it does"

    def indices(self, outputs: int) -> int:
        return outputs

    def predict(self, output: Tensor) -> Tensor:
        return output.argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return self.score(output, index).sigmoid()

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return F.logsigmoid(self.score(output, index))


@dataclass(frozen=True)
class SoftmaxClass(_Vector):
    """One class of several that exclude each other: its logit, and its softmax probability."""

    def refusal(self, shape: Sequence[int]) -> str | None:
        if len(shape) == 1 and shape[0] < 2:
            return "whose softmax is 1 whatever it shows: say what it is with model.output=binary (a logit) or value"
        return super().refusal(shape)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output.softmax(1), index)

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output.log_softmax(1), index)


@dataclass(frozen=True)
class Label(_Vector):
    """One label of several that may all hold: its logit, and its sigmoid."""


@dataclass(frozen=True)
class Binary(_Vector):
    """One of two classes that one logit z tells apart: z and σ(z) of class 1, −z and σ(−z) of class 0.

    Without the sign the map of class 0 would be that of class 1.
    """

    provides: ClassVar[frozenset[str]] = frozenset({CONFIDENCE})
    is_logit: ClassVar[bool] = False

    def refusal(self, shape: Sequence[int]) -> str | None:
        if len(shape) == 1 and shape[0] != 1:
            return "and binary is one logit: use model.output=softmax or labels"
        return super().refusal(shape)

    def indices(self, outputs: int) -> int:
        return 2

    def predict(self, output: Tensor) -> Tensor:
        return (output[:, 0] > 0).long()

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return output[:, 0] * (2 * index - 1)


@dataclass(frozen=True)
class Value(_Vector):
    """A value that is regressed, one of the outputs; there is no confidence in it."""

    provides: ClassVar[frozenset[str]] = frozenset()
    squashes: ClassVar[bool] = False

    def predict(self, output: Tensor) -> Tensor:
        """The first of the values."""
        return torch.zeros(len(output), dtype=torch.long, device=output.device)


@dataclass(frozen=True)
class Contrast(_Vector):
    """Why this class rather than class ``other``: the difference of their logits, and its sigmoid.

    The sigmoid is the softmax of the two alone. Of the class itself the difference is 0, whatever the image.
    """

    other: int
    provides: ClassVar[frozenset[str]] = frozenset({CONFIDENCE})
    is_logit: ClassVar[bool] = False

    def refusal(self, shape: Sequence[int]) -> str | None:
        if len(shape) == 1 and not 0 <= self.other < shape[0]:
            return f"and the class {self.other} to compare with is none of them: give another"
        return super().refusal(shape)

    def predict(self, output: Tensor) -> Tensor:
        """The first class but the other one."""
        beside = torch.arange(output.shape[1], device=output.device) == self.other
        return output.masked_fill(beside, -torch.inf).argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(output, index) - output[:, self.other]


@dataclass(frozen=True)
class Embedding(_Vector):
    """How near outputs [m,D] are to a reference [D]: their cosine, in [−1,1]; there is no confidence in it."""

    reference: Tensor = field(repr=False)
    provides: ClassVar[frozenset[str]] = frozenset()
    is_logit: ClassVar[bool] = False
    squashes: ClassVar[bool] = False

    def refusal(self, shape: Sequence[int]) -> str | None:
        if len(shape) == 1 and tuple(self.reference.shape) != tuple(shape):
            return f"and the reference has the shape {list(self.reference.shape)}: give one embedding {list(shape)}"
        return super().refusal(shape)

    def indices(self, outputs: int) -> int:
        return 1

    def predict(self, output: Tensor) -> Tensor:
        return torch.zeros(len(output), dtype=torch.long, device=output.device)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return F.cosine_similarity(output, self.reference.to(output), dim=1)


@dataclass(frozen=True)
class Region(_Vector):
    """A class in a region of outputs [m,C,H,W]: the mean of its logits, and of its softmax probabilities, there.

    Args:
        mask: [H,W] bool, the region; None takes the whole output.
    """

    mask: Tensor | None = field(default=None, repr=False)
    provides: ClassVar[frozenset[str]] = frozenset({CONFIDENCE})
    is_logit: ClassVar[bool] = False

    def refusal(self, shape: Sequence[int]) -> str | None:
        if len(shape) != 3:
            return "not scores for every place [C,H,W], of which a Region can be asked: choose a segmentation network"
        if self.mask is not None and (tuple(self.mask.shape) != tuple(shape[1:]) or not self.mask.any()):
            return f"and the region is {list(self.mask.shape)}: give a mask {list(shape[1:])} that is True somewhere"
        return None

    def predict(self, output: Tensor) -> Tensor:
        """The class with the largest mean logit in the region."""
        return self._mean(output).argmax(1)

    def score(self, output: Tensor, index: Tensor) -> Tensor:
        return at(self._mean(output), index)

    def confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return at(self._mean(output.softmax(1)), index)

    def log_confidence(self, output: Tensor, index: Tensor) -> Tensor:
        return self.confidence(output, index).log()

    def _mean(self, output: Tensor) -> Tensor:
        """Means [m,C] over the region."""
        if self.mask is None:
            return output.mean((2, 3))
        inside = self.mask.to(output.device, output.dtype)
        return (output * inside).sum((2, 3)) / inside.sum()


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
