"""The nouns of the project: a network in two parts, what one pass of it gives, and what explains that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor

from camsbench.core.passes import MicroBatch, Passes, PassOptions
from camsbench.core.preprocess import Box, Preprocess
from camsbench.core.targets import SoftmaxClass, Target, confidence_or_score


class Split(Protocol):
    """A classifier cut in two at its target layer: ``logits(x) == head(*parts(x))``.

    ``provides`` names what it can do beside its three calls: ``gradient`` (autograd through ``head`` and
    ``features``) and ``modules`` (the PyTorch module itself, as ``model``).
    """

    @property
    def name(self) -> str: ...
    @property
    def layer(self) -> str: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes (or labels) that may be explained, by index; () where nobody gave them."""
        ...

    @property
    def asked(self) -> Target:
        """What is asked of the network's output (``camsbench.core.targets``)."""
        ...

    @property
    def provides(self) -> frozenset[str]: ...
    @property
    def preprocess(self) -> Preprocess: ...
    @property
    def micro_batch(self) -> MicroBatch: ...
    @property
    def memory_format(self) -> torch.memory_format:
        """The layout of images that costs ``features`` and ``logits`` no copy."""
        ...

    @property
    def passes(self) -> Passes:
        """The passes that were made so far, of this and of all splits of the same network."""
        ...

    @property
    def options(self) -> PassOptions:
        """How the network is passed."""
        ...

    @property
    def plain(self) -> Split:
        """The split without exact short cuts: every copy is passed, those too whose score is known without."""
        ...

    @property
    def for_copies(self) -> Split:
        """The split as perturbed copies pass it: in ``runtime.precision``, compiled (``models.compiled``)."""
        ...

    def features(self, x: Tensor) -> Tensor:
        """Activations A [B,K,h,w] of the target layer for normalised images ``x`` [B,3,H,W]."""
        ...

    def parts(self, x: Tensor) -> tuple[Tensor, ...]:
        """``features(x)``, and the tensors [B,...] that pass beside it to the head: a transformer's class token."""
        ...

    def head(self, A: Tensor, *beside: Tensor) -> Tensor:
        """Logits [B,C] of activations ``A`` [B,K,h,w] and of what passes beside them: ``head(*parts(x))``."""
        ...

    def logits(self, x: Tensor) -> Tensor:
        """Logits [B,C] of normalised images ``x`` [B,3,H,W]."""
        ...


@dataclass(frozen=True)
class Forward:
    """What one pass of the network gives for a batch, shared by all methods of a run."""

    x: Tensor  # [B,3,H,W] normalised images
    A: Tensor  # [B,K,h,w] activations of the target layer
    logits: Tensor  # [B,C]
    target: Tensor  # [B] the class (or label) that is explained
    seeds: tuple[int, ...]  # one random stream an image, keyed on (seed, image id)
    boxes: tuple[tuple[Box, ...], ...] = ()  # of each image, in pixels of x and clipped to it; () where nobody knows
    masks: Tensor | None = None  # [B,H,W] bool: the pixels of each image's object, for those that have such a mask
    outlines: tuple[tuple[Box, ...], ...] = ()  # the boxes of each image, also of those whose pixels a mask says
    truth: Tensor | None = None  # [B,H,W] the share of each pixel in the evidence, NaN where nobody knows it
    distractor: Tensor | None = None  # [B,H,W] a plausible map that is wrong, NaN where nobody says one
    asked: Target = field(default_factory=SoftmaxClass)  # of the outputs: what the split asks
    beside: tuple[Tensor, ...] = ()  # each [B,...]: what passes beside A, such as a transformer's class token
    _once: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def score(self) -> Tensor:
        """What is asked of the outputs [B], unbounded: for a class of a softmax its logit."""
        return self.asked.score(self.logits, self.target)

    @property
    def probability(self) -> Tensor:
        """The confidence [B] in [0,1]: the target's softmax probability; the score where there is no such thing."""
        return confidence_or_score(self.asked, self.logits, self.target)

    def beside_of(self, images: Tensor | slice) -> tuple[Tensor, ...]:
        """What passes beside the activations of some images, for ``Split.head``."""
        return tuple(each[images] for each in self.beside)

    def moved(self, images: Tensor | slice, parts: tuple[Tensor, ...]) -> Forward:
        """Some images' passes with other activations, and what passes beside those, in place of their own."""
        A, *beside = parts
        own = (self.x[images], A, self.logits[images], self.target[images])
        return Forward(*own, seeds=(), asked=self.asked, beside=tuple(beside))

    def select(self, rows: Sequence[int]) -> Forward:
        """The same pass for some images of the batch."""
        if list(rows) == list(range(len(self.seeds))):
            return self
        index = list(rows)
        chosen = replace(
            self,
            x=self.x[index],
            A=self.A[index],
            beside=tuple(each[index] for each in self.beside),
            logits=self.logits[index],
            target=self.target[index],
            seeds=tuple(self.seeds[i] for i in index),
            boxes=tuple(self.boxes[i] for i in index) if self.boxes else (),
            masks=_some(self.masks, index),
            outlines=tuple(self.outlines[i] for i in index) if self.outlines else (),
            truth=_some(self.truth, index),
            distractor=_some(self.distractor, index),
        )
        chosen._once.update({key: value[index] for key, value in self._once.items()})
        return chosen

    def knowing(self, other: Forward) -> Forward:
        """The same pass with all that is known of the images of ``other``: their objects, truth and distractor."""
        placed = replace(self, boxes=other.boxes, masks=other.masks, outlines=other.outlines)
        return replace(placed, truth=other.truth, distractor=other.distractor)

    def once(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """A tensor [B,...] that follows from the images and targets alone: made once for all methods and metrics.

        A ``replace`` of any field forgets them.
        """
        if key not in self._once:
            self._once[key] = make()
        return self._once[key]


def _some(maps: Tensor | None, index: list[int]) -> Tensor | None:
    return None if maps is None else maps[index]


@dataclass(frozen=True)
class About:
    """Where a method comes from, for the table of methods."""

    title: str  # as the paper writes it: "Grad-CAM++"
    authors: str  # "Chattopadhay et al."
    year: int
    category: str  # "gradient CAM", "score CAM", "feature perturbation", "input perturbation", "backpropagation", ...


class Explainer(Protocol):
    """An explanation method: arithmetic on a split and a forward pass, as a frozen dataclass of its options.

    ``needs`` lists what it asks of the split (see ``Split.provides``). Calling it gives the raw map [B,h',w'] on the
    device of ``forward``: neither upsampled nor normalised. A method may have ``check(split)``, which raises a
    CamsbenchError for a network that it is not for, before any work. Those of this project also say where they come
    from, in ``about``.
    """

    @property
    def needs(self) -> frozenset[str]: ...

    def __call__(self, split: Split, forward: Forward) -> Tensor: ...
