"""Sanity checks: does the map change when the network's weights are lost?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.saliency import size_of
from camsbench.metrics._similarity import SIMILARITIES, MapFeatures, similarities
from camsbench.models.randomise import layers_of, randomised
from camsbench.models.split import TorchSplit


@dataclass(frozen=True)
class Randomisation:
    """What both model randomisation tests share (Adebayo et al. 2018, section 3).

    Each layer is re-initialised (see ``camsbench.models.randomise``), the same class of the same image is explained
    again by the same method, with the image's own random stream, and the new map is compared with the map of the
    trained network: Spearman's ρ of the raw maps upsampled to the image, of their magnitudes ("absolute value", Adebayo
    et al. 2018, section 3), SSIM, and Pearson's ρ of the histograms of oriented gradients of the two saliencies. A
    method that passes is far from 1. For a map without negative values, both Spearman's are the same.

    A column is the mean over the layers; the curves [B,L], one a similarity, hold each layer, in the order of
    ``labels``. A layer without whose weights the map is constant has no correlation: NaN, and left out of the mean.
    Images below 48 pixels have no HOG, below 11 no SSIM. The similarities run on the host, one copy of the maps a
    layer.

    Args:
        layers: the layers that are explained; the name of a block takes all modules in it; null takes every module
            with parameters. In a cascade, what lies between them and the logits is randomised in any case.
        seed: of the random weights, with each module's name.
    """

    layers: Sequence[str] | None = None
    seed: int = 0
    needs: ClassVar[frozenset[str]] = frozenset({"modules"})
    order: ClassVar[str]

    def __post_init__(self) -> None:
        if type(self.seed) is not int:
            raise ValueError(f"seed is {self.seed}: it must be a whole number")
        if self.layers is not None:
            names = list(self.layers)
            if isinstance(self.layers, str) or not names or len(set(names)) < len(names):
                raise ValueError(f"layers is {self.layers}: give different names of layers, or null for all of them")
            object.__setattr__(self, "layers", tuple(names))

    def labels(self, split: TorchSplit) -> list[str]:
        """The layers, in the order of the curves: from the logits to the image."""
        return list(layers_of(split, self.layers))

    def maps(self, explained: Explained) -> Iterator[tuple[str, Tensor, Tensor, Tensor]]:
        """For each layer its name, the raw map [B,h,w] without its weights, the saliency [B,1,H,W], degenerate [B]."""
        split, forward = explained.split, explained.forward
        assert isinstance(split, TorchSplit)  # config.check_needs has refused others
        copies = randomised(split, self.seed)
        every = list(layers_of(split))
        for layer, modules in layers_of(split, self.layers).items():
            chosen = modules if self.order == "independent" else every[: every.index(modules[-1]) + 1]
            with copies.without(chosen) as broken:
                again = scoring.forward(broken, forward.x, forward.target, forward.seeds).knowing(forward)
                raw = explained.explainer(broken, again)
            yield layer, raw, *explained.rule(raw, size_of(forward.x))

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        original = MapFeatures.of(explained.raw, explained.saliency, explained.degenerate, explained.rule)
        found: dict[str, list[Tensor]] = {name: [] for name in SIMILARITIES}
        for _, raw, saliency, degenerate in self.maps(explained):
            without = MapFeatures.of(raw, saliency, degenerate, explained.rule)
            for name, values in similarities(original, without).items():
                found[name].append(values)
        curves = {name: torch.stack(values, 1).to(explained.forward.x.device) for name, values in found.items()}
        prefix = f"sanity_{self.order}"
        means = {f"{prefix}_{name}": curve.nanmean(1) for name, curve in curves.items()}
        return means | {f"{prefix}_{name}_curve": curve for name, curve in curves.items()}


@dataclass(frozen=True)
class CascadingRandomisation(Randomisation):
    """Cascading randomisation (Adebayo et al. 2018, section 3.1): all layers from the logits down to one."""

    order: ClassVar[str] = "cascading"
    columns: ClassVar[tuple[Column, ...]] = tuple(Column(f"sanity_cascading_{name}", "lower") for name in SIMILARITIES)


@dataclass(frozen=True)
class IndependentRandomisation(Randomisation):
    """Independent randomisation (Adebayo et al. 2018, section 3.2): one layer at a time, all others as trained."""

    order: ClassVar[str] = "independent"
    columns: ClassVar[tuple[Column, ...]] = tuple(
        Column(f"sanity_independent_{name}", "lower") for name in SIMILARITIES
    )
