"""ReciproCAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.closed_forms import cell_scores
from camsbench.core.scoring import score_features
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices

MASKS = ("cell", "gaussian")
SCORES = ("softmax", "logit")


def spatial_masks(height: int, width: int, mask: str, like: Tensor) -> Tensor:
    """The N = h·w masks [N,h,w] that spread the activation of cell n over the map.

    ``cell``: 1 at the cell, 0 elsewhere. ``gaussian``: [1,2,1]²/16 centred on the cell and cut at the border,
    so that it sums to 1 inside, 0.75 on an edge and 0.5625 in a corner.
    """
    cells = torch.eye(height * width, device=like.device, dtype=like.dtype).view(-1, 1, height, width)
    if mask == "cell":
        return cells.squeeze(1)
    line = torch.tensor([0.25, 0.5, 0.25], device=like.device, dtype=like.dtype)
    kernel = torch.outer(line, line)[None, None]
    return torch.nn.functional.conv2d(cells, kernel, padding=1).squeeze(1)


@dataclass(frozen=True)
class ReciproCAM:
    """ReciproCAM (Byun and Lee 2024, Eq. 5-7): y_n = score of the head when only cell n of the activations is left.

    Behind an average pool, or VGG's max pool, and a linear layer the scores have a closed form, which is taken
    (``camsbench.core.closed_forms``), and attention that knows no places needs a token of each kind
    (``camsbench.core.alike``); other heads are passed once a cell.

    Args:
        mask: ``cell`` keeps A at the one cell, as the paper says; ``gaussian`` spreads it over the 3×3 cells around,
            as the authors' evaluation script does.
        score: ``softmax`` (probability of the target) or ``logit``.

    Returns:
        Raw map [B,h,w] of y_n; the min-max of Eq. 6 is the protocol's.
    """

    mask: str = "cell"
    score: str = "softmax"
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("ReciproCAM", "Byun and Lee", 2024, "feature perturbation")

    def __post_init__(self) -> None:
        check_choices(self, mask=MASKS, score=SCORES)

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        height, width = forward.A.shape[2:]
        masks = spatial_masks(height, width, self.mask, forward.A)  # [N,h,w]
        closed = cell_scores(split, forward, masks, self.score == "softmax")
        if closed is not None:
            return closed.view(-1, height, width)
        cells = forward.A.flatten(2)  # [B,K,N]

        def perturb(image: Tensor, cell: Tensor) -> Tensor:
            return cells[image, :, cell][:, :, None, None] * masks[cell][:, None]

        scores = score_features(split, forward, perturb, height * width, self.score == "softmax")
        return scores.view(-1, height, width)
