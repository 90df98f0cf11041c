"""One saliency out of several layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.saliency import SaliencyRule, size_of
from camsbench.core.types import Explainer, Forward, Split


@dataclass(frozen=True)
class MeanOfLayers:
    """The mean of a method's saliencies at several layers of one network, each by the protocol's rule first.

    Returns:
        Raw map [B,H,W], at the image's size.
    """

    method: Explainer
    splits: tuple[Split, ...]
    rule: SaliencyRule

    @property
    def needs(self) -> frozenset[str]:
        return self.method.needs

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = []
        for layer in self.splits:
            layer = layer if split.options.short_cuts else layer.plain
            there = scoring.forward(layer, forward.x, forward.target, forward.seeds).knowing(forward)
            maps.append(self.rule(self.method(layer, there), size_of(forward.x))[0])
        return torch.stack(maps).mean(0).squeeze(1)
