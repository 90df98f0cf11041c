"""FEM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices

FORMS = ("raw", "binary")


@dataclass(frozen=True)
class FEM:
    """FEM (Fuad et al. 2020): channels weighted by their rare, strong cells, those with A > mean + k·std.

    ``raw`` is grad-cam's reading: Σ_k share_k A_k, share_k the fraction of rare cells of channel k. ``binary`` is the
    other in use (Xplique): Σ_k mean(A_k) B_k, with B_k 1 in the rare cells and 0 elsewhere. For any class alike. A
    ReLU ends it, as in grad-cam.

    Args:
        k: standard deviations (of the population) above the channel's mean.
        form: ``raw`` or ``binary``.

    Returns:
        Raw map [B,h,w], at least 0.
    """

    k: float = 2.0
    form: str = "raw"
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("FEM", "Fuad et al.", 2020, "activation CAM")

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"k is {self.k}: it must be at least 0")
        check_choices(self, form=FORMS)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        A = forward.A
        mean, std = A.mean((2, 3), keepdim=True), A.std((2, 3), correction=0, keepdim=True)
        rare = A.gt(mean + self.k * std).to(A.dtype)  # [B,K,h,w]
        weighted = rare.mean((2, 3), keepdim=True) * A if self.form == "raw" else mean * rare
        return weighted.sum(1).relu()
