"""ViT-ReciproCAM."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.closed_forms import cell_scores
from camsbench.core.scoring import score_features
from camsbench.core.types import About, Forward, Split
from camsbench.errors import CamsbenchError, check_choices
from camsbench.methods._applies import noise
from camsbench.methods._rules import Function, Rules
from camsbench.methods.reciprocam import MASKS, SCORES, spatial_masks
from camsbench.models.layout import Layout
from camsbench.models.split import TorchSplit

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
        layout = _layout(split)
        if _norm_is_passed(split, split.parts(noise(split))[1:]):
            return
        if "modules" not in split.provides:
            raise CamsbenchError(
                f"{split.name} at layer '{split.layer}' has a norm behind it, which is masked in PyTorch alone: choose "
                "that norm with model.layer=, or runtime.backend=torch"
            )
        given = scoring.forward(split, noise(split), None, (0,))
        rule = _MaskBehindNorm(layout, self.class_token)
        rule.mask = torch.zeros_like(given.A[:, 0].flatten(1))
        with torch.no_grad(), rule:
            split.plain.head(0 * given.A, *given.beside)
        if rule.of_zeros is not None and not bool(rule.of_zeros):
            raise CamsbenchError(
                f"{split.name} at layer '{split.layer}': the first norm behind it is not of the tokens themselves; use "
                "method=reciprocam"
            )

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        height, width = forward.A.shape[2:]
        layout = _layout(split)
        masks = spatial_masks(height, width, self.mask, forward.A)  # [N,h,w]
        if not self.class_token:
            without = (torch.cat([0 * t[:, : layout.prefix], t[:, layout.prefix :]], 1) for t in forward.beside)
            forward = replace(forward, beside=tuple(without))
        probability = self.score == "softmax"
        sum_before = not _norm_is_passed(split, forward.beside)
        if not sum_before and self.mask == "cell":
            closed = cell_scores(split, forward, masks, probability)
            if closed is not None:
                return closed.view(-1, height, width)
        rule = _MaskBehindNorm(layout, self.class_token)
        if sum_before and isinstance(split, TorchSplit):
            split = split.with_options(compile=False)  # which would fill the last copies up

        def perturb(image: Tensor, cell: Tensor) -> Tensor:
            rule.mask = masks[cell].flatten(1)
            rule.done = not sum_before
            return forward.A[image] * masks[cell][:, None]

        with rule:
            scores = score_features(split, forward, perturb, height * width, probability)
        return scores.view(-1, height, width)


def _layout(split: Split) -> Layout:
    """How the tokens of a layer lie.

    Raises:
        CamsbenchError: it does not hold tokens.
    """
    layout = getattr(split, "layout", None)
    if not isinstance(layout, Layout) or layout.kind != "tokens":
        raise CamsbenchError(f"{split.name} at layer '{split.layer}' holds no tokens: use method=reciprocam")
    return layout


def _norm_is_passed(split: Split, beside: tuple[Tensor, ...]) -> bool:
    """Whether the layer is the norm before attention: then the sum, of all tokens, passes beside it."""
    layout = _layout(split)
    return any(each.shape[1] == layout.prefix + layout.patches for each in beside)


class _MaskBehindNorm(Rules):
    """While entered, the first norm of each pass is of the tokens that ``mask`` [m,N] was not yet multiplied into, and
    its output is multiplied by it; its prefix stays, or is 0."""

    def __init__(self, layout: Layout, prefix_stays: bool) -> None:
        super().__init__(dict.fromkeys(NORMS, self._masked))
        self.patches, self.prefix, self.prefix_stays = layout.patches, layout.prefix, prefix_stays
        self.mask: Tensor | None = None
        self.of_zeros: Tensor | None = None  # whether the first norm's input was 0 where the mask is
        self.done = False

    def _masked(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if self.done or self.mask is None or x.ndim != 3 or x.shape[1] != self.patches + self.prefix:
            return function(x, *args, **kwargs)
        self.done = True
        before = torch.full_like(self.mask[:, :1], float(self.prefix_stays)).expand(-1, self.prefix)
        mask = torch.cat([before, self.mask], 1)[..., None]
        self.of_zeros = torch.where(mask[:, self.prefix :] == 0, x[:, self.prefix :], 0).abs().amax() == 0
        out: Tensor = function(x / torch.where(mask == 0, 1, mask), *args, **kwargs)
        return out * mask
