"""Other people's packages, each called as its documentation says, with all that can be kept made beforehand."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LAYER = "bn2"  # of the embedded network: where camsbench cuts, too


def by_torchcam(
    kind: Any, model: nn.Module, x: Tensor, target: list[int], layer: str = LAYER, **options: Any
) -> Tensor:
    """torchcam's maps [B,h,w], in [0,1]. Its hooks are set and removed each time: microseconds."""
    with kind(model, layer, **options) as extractor:
        scores = model(x.detach().requires_grad_())
        maps: Tensor = extractor(target, scores)[0].detach()
    return maps


def by_grad_cam(
    kind: Any, model: nn.Module, x: Tensor, target: list[int], layer: str = LAYER, **options: Any
) -> Tensor:
    """grad-cam's maps [B,H,W], in [0,1], at the image's size."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    wanted = [ClassifierOutputTarget(c) for c in target]
    with kind(model=model, target_layers=[model.get_submodule(layer)], **options) as peer:
        return torch.from_numpy(np.asarray(peer(x.detach().requires_grad_(), wanted)))


def for_captum(model: nn.Module) -> nn.Module:
    """A copy without in-place modules, which captum's hooks cannot stand."""
    own = copy.deepcopy(model)
    for module in own.modules():
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
    return own


def by_captum(peer: Any, x: Tensor, target: list[int], reduce: Callable[[Tensor], Tensor], **options: Any) -> Tensor:
    """captum's attributions [B,C,H,W], reduced over their channels: [B,H,W]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of each hook it sets
        return reduce(peer.attribute(x.detach().clone(), target=torch.tensor(target), **options).detach())


class GivenMap:
    """What torchcam's metrics ask of an extractor, for maps [B,h,w] that are there already: only the metric works."""

    def __init__(self, model: nn.Module, maps: Tensor) -> None:
        self.model = model
        self.maps = maps

    def __call__(self, class_idx: Any = None, scores: Any = None, **_: Any) -> list[Tensor]:
        return [self.maps]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        return cams[0]

    def _hooks_off(self) -> Any:
        return torch.no_grad()
