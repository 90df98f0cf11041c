"""LFI-CAM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import CamsbenchError
from camsbench.models.lficam import HOW_TO_TRAIN, restore


@dataclass(frozen=True)
class LFICAM:
    """LFI-CAM (Lee et al. 2021): ReLU(Σ_k w_k A_k), the weights w from a trained Feature Importance Network.

    The map belongs to the trained network (see ``camsbench.models.lficam``) and does not depend on the target. To score
    that network, explain the split that ``camsbench.models.lficam.restore`` gives: its logits are those of the attended
    activations. A split of the plain backbone is scored without the attention; its own activations are weighed then, so
    it should carry the backbone's trained weights (``train_lficam.py --backbone-out``).

    Args:
        checkpoint: the file of a trained network.

    Returns:
        Raw map [B,h,w], at least 0.

    Raises:
        CamsbenchError: no checkpoint is given, or it belongs to another backbone or layer.
    """

    checkpoint: str | None = None
    needs: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[About] = About("LFI-CAM", "Lee et al.", 2021, "trained attention")

    def __post_init__(self) -> None:
        if not self.checkpoint:
            raise CamsbenchError(
                "method=lficam explains with a network that is trained for it: give method.lficam.checkpoint=FILE; "
                + HOW_TO_TRAIN
            )

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        network, recipe, attended = restore(Path(str(self.checkpoint)).expanduser(), forward.x.device)
        if (split.name, split.layer) != (attended.name, attended.layer):
            raise CamsbenchError(
                f"method.lficam.checkpoint={self.checkpoint} is of {recipe.name} at layer '{recipe.layer}', "
                f"not of {split.name} at layer '{split.layer}': choose that model and model.layer"
            )
        own = getattr(split, "model", None) is network  # A of such a split is attended already

        def maps(chunk: slice) -> Tensor:
            x = forward.x[chunk]
            return network.saliency(x, network.features(x) if own else forward.A[chunk])

        return in_micro_batches(split.micro_batch, len(forward.x), maps)
