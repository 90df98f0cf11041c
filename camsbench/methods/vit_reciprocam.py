"""ViT-ReciproCAM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.closed_forms import cell_scores
from camsbench.core.scoring import score_features
from camsbench.core.types import About, Forward, Split
from camsbench.errors import CamsbenchError, check_choices
from camsbench.methods._rules import Function, Rules
from camsbench.methods.reciprocam import MASKS, SCORES, spatial_masks

NORMS: tuple[Function, ...] = (F.layer_norm, torch.layer_norm, F.rms_norm)


@dataclass(frozen=True)
class ViTReciproCAM:
    """ViT-ReciproCAM (Byun and Lee 2023): y_n = score of the head when only patch n of the tokens is left.

    Where the layer is the sum before a block, the first norm behind it would turn the zeros of the other patches into
    its bias: they are set to 0 there once more, as in the authors' library (openvino_xai, ViTReciproCAM). Where the
    layer is that norm itself, as by default behind the last class-token block, this is already so.

    Args:
        mask: ``cell`` keeps patch n; ``gaussian`` keeps the 3×3 patches around it too, each what it holds, weighed by
            [1,2,1]²/16, as that library does by default (ReciproCAM's spreads the one cell over the 3×3).
        class_token: whether the class token, and others that are no patch, stay as they are; else they are 0.
        score: ``logit``, as there, or ``softmax`` (probability of the target).

    Returns:
        Raw map [B,h,w] of y_n.

    Raises:
        CamsbenchError: the layer does not hold tokens.
    """

    mask: str = "gaussian"
    class_token: bool = True
    score: str = "logit"
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("ViT-ReciproCAM", "Byun and Lee", 2023, "feature perturbation")

    def __post_init__(self) -> None:
        check_choices(self, mask=MASKS, score=SCORES)

    def check(self, split: Split) -> None:
        if getattr(getattr(split, "layout", None), "kind", "map") != "tokens":
            raise CamsbenchError(f"{split.name} at layer '{split.layer}' holds no tokens: use method=reciprocam")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        height, width = forward.A.shape[2:]
        masks = spatial_masks(height, width, self.mask, forward.A)  # [N,h,w]
        if not self.class_token:
            forward = replace(forward, beside=tuple(_without_prefix(forward, each) for each in forward.beside))
        probability = self.score == "softmax"
        sum_before = not any(each.shape[1] > height * width for each in forward.beside)  # no norm has been passed
        if not sum_before and self.mask == "cell":
            closed = cell_scores(split, forward, masks, probability)
            if closed is not None:
                return closed.view(-1, height, width)
        prefix = forward.beside[0].shape[1] if forward.beside else 0
        rule = _MaskBehindNorm(height * width, prefix, self.class_token)

        def perturb(image: Tensor, cell: Tensor) -> Tensor:
            rule.mask = masks[cell].flatten(1)
            rule.done = not sum_before
            return forward.A[image] * masks[cell][:, None]

        with rule:
            scores = score_features(split, forward, perturb, height * width, probability)
        return scores.view(-1, height, width)


def _without_prefix(forward: Forward, beside: Tensor) -> Tensor:
    """What passes beside the patches, its class token and the like set to 0."""
    patches = forward.A.shape[2] * forward.A.shape[3]
    prefix = beside.shape[1] if beside.shape[1] < patches else beside.shape[1] - patches
    return torch.cat([torch.zeros_like(beside[:, :prefix]), beside[:, prefix:]], 1)


class _MaskBehindNorm(Rules):
    """While entered, the first norm of each pass is of the tokens that ``mask`` [m,N] was not yet multiplied into, and
    its output is multiplied by it; its prefix stays, or is 0."""

    def __init__(self, patches: int, prefix: int, prefix_stays: bool) -> None:
        super().__init__(dict.fromkeys(NORMS, self._masked))
        self.patches, self.prefix, self.prefix_stays = patches, prefix, prefix_stays
        self.mask: Tensor | None = None
        self.done = False

    def _masked(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.done or self.mask is None or x.ndim != 3 or x.shape[1] != self.patches + self.prefix:
            return function(x, *args, **kwargs)
        self.done = True
        before = torch.full_like(self.mask[:, :1], float(self.prefix_stays)).expand(-1, self.prefix)
        mask = torch.cat([before, self.mask], 1)[..., None]
        out: Tensor = function(x / torch.where(mask == 0, 1, mask), *args, **kwargs)
        return out * mask
