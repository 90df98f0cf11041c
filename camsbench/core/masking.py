"""The image that is left under a saliency: what drop, increase, coherency and ADCC score."""

from __future__ import annotations

from torch import Tensor

from camsbench.core.types import Split

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
