"""Other readings of Abs-CAM (see ``abscam.AbsCAM``): the paper's equations allow more than one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core import scoring
from camsbench.core.saliency import size_of
from camsbench.core.types import About, Forward, Split
from camsbench.methods._channelwise import masked_scores, masks_of, unit_maps, upsampled_range
from camsbench.methods.abscam import AbsCAMInit, absolute_weight
from camsbench.methods.groupcam import GroupCAM


@dataclass(frozen=True)
class AbsCAMScalar:
    """Abs-CAM (Zeng et al. 2022) with one score: p_c(x ⊙ M0)·M0, M0 = N(U(Σ_k W_k A_k)) the map of Abs-CAM_init.

    A positive scale changes no min-maxed map, so this equals Abs-CAM_init in every metric, where the paper's Table 2
    has them differ. The raw map keeps M0 before its min-max, which is the protocol's.

    Returns:
        Raw map [B,h,w].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Abs-CAM (one score)", "Zeng et al.", 2022, "score CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        initial = AbsCAMInit()(split, forward)
        return masked_scores(split, forward, initial[:, None])[:, :, None] * initial


@dataclass(frozen=True)
class AbsCAMChanNorm:
    """Abs-CAM (Zeng et al. 2022, Eq. 3-5 to the letter): Σ_k p_c(x ⊙ M_k)·M_k with M_k = N(U(W_k A_k)).

    N takes W_k > 0 out again, so this is Score-CAM with normalised maps, less the channels with W_k = 0. The sum is
    taken before upsampling, which is linear: upsampled, the raw map is the equation's.

    Returns:
        Raw map [B,h,w].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Abs-CAM (normalised channels)", "Zeng et al.", 2022, "score CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = absolute_weight(split, forward) * forward.A
        score = masked_scores(split, forward, maps)[:, :, None, None]
        return (score * unit_maps(split, forward, maps)).sum(1)


@dataclass(frozen=True)
class AbsCAMChanGlobal:
    """Abs-CAM (Zeng et al. 2022, Eq. 3-5) with N over all channels at once: Σ_k p_c(x ⊙ M_k)·M_k, M = N(U(W A)).

    One minimum and one maximum an image, over channels, rows and columns, so that W_k keeps its say. Constant channels
    are left out: they would add the same to every pixel.

    Returns:
        Raw map [B,h,w].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Abs-CAM (global range)", "Zeng et al.", 2022, "score CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        maps = absolute_weight(split, forward) * forward.A
        lows, highs = upsampled_range(split, forward, maps)
        low, high = lows.amin(1, keepdim=True), highs.amax(1, keepdim=True)  # [B,1,1,1]
        unit = torch.where(high > low, (maps - low) / torch.where(high > low, high - low, 1), 0)
        score = masked_scores(split, forward, unit, mask="as_is")[:, :, None, None]
        return (score * unit).sum(1)


@dataclass(frozen=True)
class AbsCAMGroup(GroupCAM):
    """Abs-CAM's weights W_k = mean(|∂y_c/∂A_k|) (Zeng et al. 2022, Eq. 1-2) in Group-CAM, whose options it has.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    about: ClassVar[About] = About("Abs-CAM (groups)", "Zeng et al.", 2022, "score CAM")

    def weight(self, split: Split, forward: Forward) -> Tensor:
        return absolute_weight(split, forward)


@dataclass(frozen=True)
class AbsCAMRefeed:
    """Abs-CAM (Zeng et al. 2022) fed its own map: Σ_k W_k A_k with W and A of the image x ⊙ M0, M0 of Abs-CAM_init.

    Returns:
        Raw map [B,h,w].
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Abs-CAM (fed again)", "Zeng et al.", 2022, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        x = forward.x * masks_of(AbsCAMInit()(split, forward), size_of(forward.x))
        return AbsCAMInit()(split, scoring.forward(split, x, forward.target, forward.seeds))
