"""One explained batch: the map, its saliency, the masked images that metrics ask for, and what a metric is."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.columns import Column
from camsbench.core.passes import at_least_single
from camsbench.core.saliency import SaliencyRule, normalise, size_of
from camsbench.core.types import Explainer, Forward, Split

RESOLUTIONS = ("image", "map")
KINDS = ("soft", "soft_top50", "binary_top50")
SPACES = ("normalised", "pixels")


def mask_of(kind: str, saliency: Tensor) -> Tensor:
    """The mask [B,1,H,W] of a saliency [B,1,H,W].

    ``soft``: the saliency itself (Chattopadhay et al. 2018). ``soft_top50``: the saliency where it is above its
    median, else 0 (our reading of Abs-CAM, "top 50% pixels of the attention map"). ``binary_top50``: 1 there, else 0.
    Pixels that equal the median are out: less than half is left of a map that has many ties.
    """
    if kind == "soft":
        return saliency
    flat = saliency.flatten(1).sort(dim=1).values  # not median(): it has no deterministic CUDA kernel
    median = flat[:, (flat.shape[1] - 1) // 2].view(-1, 1, 1, 1)
    above = (saliency > median).to(saliency)
    return saliency * above if kind == "soft_top50" else above


def masked_images(kind: str, space: str, split: Split, x: Tensor, saliency: Tensor) -> Tensor:
    """Normalised images [B,3,H,W] under the mask of ``saliency``.

    ``normalised`` multiplies the network's input, so that what is masked takes the mean colour of the training set;
    ``pixels`` multiplies the picture before it is normalised, so that what is masked turns black.
    """
    mask = mask_of(kind, saliency)
    if space == "normalised":
        return x * mask
    black = split.preprocess.black(x)
    return black + mask * (x - black)


@dataclass(frozen=True)
class Explained:
    """A forward pass under one method: what a metric judges.

    Drop, increase, coherency and ADCC share the pass of the masked image, and coherency and ADCC its explanation: each
    is made once for each way of masking (see ``camsbench.core.explained``).
    """

    split: Split
    explainer: Explainer
    rule: SaliencyRule
    forward: Forward
    raw: Tensor  # [B,h',w']
    saliency: Tensor  # [B,1,H,W]
    degenerate: Tensor  # [B] bool
    seconds: float  # for the whole batch, explaining only
    _masked: dict[tuple[str, str], Forward] = field(default_factory=dict, init=False, repr=False, compare=False)
    _masked_raw: dict[str, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)
    _once: dict[Hashable, Tensor] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """A tensor [B,...] that several metrics ask of this explanation, made for the first: an insertion curve."""
        if key not in self._once:
            self._once[key] = make()
        return self._once[key]

    @property
    def masked(self) -> Forward:
        """The forward pass of x ⊙ saliency, as ``masked_by``."""
        return self.masked_by("soft", "normalised")

    def masked_by(self, kind: str, space: str) -> Forward:
        """The forward pass of the masked images, for the same targets, each with another random stream.

        With the same stream a random map would explain itself perfectly.
        """
        if (kind, space) not in self._masked:
            x = masked_images(kind, space, self.split, self.forward.x, self.saliency)
            seeds = tuple(seed ^ 1 for seed in self.forward.seeds)
            passed = scoring.forward(self.split, x, self.forward.target, seeds)
            self._masked[kind, space] = passed.knowing(self.forward)
        return self._masked[kind, space]

    @property
    def finite(self) -> Tensor:
        """Whether all that was asked of the network for an image is a number [B]: its map and probability, and those of
        the masked image where a metric wanted them."""
        found = _finite(self.raw) & _finite(self.forward.probability)
        for masked in self._masked.values():
            found &= _finite(masked.probability)
        for raw in self._masked_raw.values():
            found &= _finite(raw)
        return found

    def saliency_at(self, resolution: str) -> Tensor:
        """The saliency [B,1,H,W] at the ``image``'s size, or the min-maxed raw ``map`` [B,1,h',w']."""
        return self.saliency if resolution == "image" else normalise(at_least_single(self.raw[:, None]))[0]

    def masked_saliency_at(self, resolution: str, space: str) -> Tensor:
        """As ``saliency_at``, for the images under the soft mask."""
        if space not in self._masked_raw:
            self._masked_raw[space] = self.explainer(self.split, self.masked_by("soft", space))
        raw = self._masked_raw[space]
        if resolution == "image":
            return self.rule(raw, size_of(self.forward.x))[0]
        return normalise(at_least_single(raw[:, None]))[0]


class Metric(Protocol):
    """A measure of an explanation, per image and never averaged.

    ``columns`` declares the columns that it gives (or maps their names to the direction that is better, ``"higher"``
    or ``"lower"``). Calling it gives those columns, each a float tensor [B] with NaN where it is not defined for an
    image, and, where it has them, curves: float tensors [B,n] under names of their own.
    """

    @property
    def columns(self) -> Sequence[Column] | Mapping[str, str]: ...

    def __call__(self, explained: Explained) -> dict[str, Tensor]: ...


def measure(metrics: Iterable[Metric], explained: Explained) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The columns [B] and the curves [B,n] that metrics give of an explained batch.

    All are NaN for an image of which a map or a probability is no number (``Explained.finite``): a metric compares and
    clamps, which can make a good value of NaN.
    """
    columns: dict[str, Tensor] = {}
    curves: dict[str, Tensor] = {}
    for metric in metrics:
        for name, values in metric(explained).items():
            (columns if values.ndim == 1 else curves)[name] = values
    finite = explained.finite
    columns = {name: torch.where(finite, values, torch.nan) for name, values in columns.items()}
    return columns, {name: torch.where(finite[:, None], values, torch.nan) for name, values in curves.items()}


def explain(split: Split, explainer: Explainer, rule: SaliencyRule, forward: Forward) -> Explained:
    """Run a method on a forward pass and time it, synchronised with the device."""
    synchronise(forward.x)
    start = time.perf_counter()
    raw = explainer(split, forward)
    synchronise(forward.x)
    seconds = time.perf_counter() - start
    saliency, degenerate = rule(raw, size_of(forward.x))
    return Explained(split, explainer, rule, forward, raw, saliency, degenerate, seconds)


def _finite(values: Tensor) -> Tensor:
    return values.flatten(1).isfinite().all(1) if values.ndim > 1 else values.isfinite()


def synchronise(x: Tensor) -> None:
    """Wait until the device of ``x`` has done what it was given: before the clock is read."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
