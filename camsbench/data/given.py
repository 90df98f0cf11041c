"""The images, targets and masks that a caller of the Python API gives, checked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from camsbench.data.classes import Classes
from camsbench.errors import CamsbenchError

Images = Tensor | np.ndarray
GivenTarget = Tensor | np.ndarray | Sequence[int | str] | int | str | None


def check_images(x: Images, channels: int) -> Tensor:
    """Normalised images [B,C,H,W].

    Raises:
        CamsbenchError: they are no batch of so many channels, or hold NaN or infinity.
    """
    x = torch.from_numpy(np.ascontiguousarray(x)) if isinstance(x, np.ndarray) else x
    if x.ndim != 4 or x.shape[1] != channels or len(x) == 0 or not x.is_floating_point():
        raise CamsbenchError(
            f"x is {x.dtype} {list(x.shape)}: give a batch of normalised float images [B,{channels},H,W]"
        )
    bad = (~x.flatten(1).isfinite().all(1)).nonzero().flatten().tolist()
    if bad:
        raise CamsbenchError(
            f"x holds NaN or infinity in {len(bad)} of {len(x)} images, first in {bad[0]}: leave it out"
        )
    return x


def check_targets(target: GivenTarget, x: Tensor, classes: Classes) -> Tensor | None:
    """The class index [B] of each image, on their device; None where none is given.

    Raises:
        CamsbenchError: it names no class of the network, or is not one an image or one for all.
    """
    if target is None:
        return None
    if isinstance(target, str):
        target = classes.index(target)
    elif not isinstance(target, Tensor | np.ndarray | np.integer | int):
        target = [classes.index(each) if isinstance(each, str) else each for each in target]
    index = outside_inference(torch.as_tensor(target)).to(x.device)
    index = index.expand(len(x)) if index.ndim == 0 else index
    if index.shape != (len(x),) or index.dtype == torch.bool or index.is_floating_point():
        raise CamsbenchError(f"target has the shape {list(index.shape)}: give one class index an image, or one for all")
    if index.min() < 0 or index.max() >= classes.count:
        raise CamsbenchError(f"target is outside the network's classes 0 to {classes.count - 1}")
    return index.long()


def check_masks(masks: Images, x: Tensor) -> Tensor:
    """Objects' pixels, bool [B,H,W].

    Raises:
        CamsbenchError: they are not of the images' shape, or not bool.
    """
    masks = torch.as_tensor(masks)
    if masks.dtype != torch.bool or masks.shape != (len(x), *x.shape[2:]):
        shape = [len(x), *x.shape[2:]]
        raise CamsbenchError(f"masks are {masks.dtype} {list(masks.shape)}: give bool {shape}, True on the object")
    return outside_inference(masks)


def check_truth(truth: Images, x: Tensor) -> Tensor:
    """Shares of the evidence, float [B,H,W].

    Raises:
        CamsbenchError: they are not of the images' shape, or not float.
    """
    truth = torch.as_tensor(truth)
    if not truth.is_floating_point() or truth.shape != (len(x), *x.shape[2:]):
        shape = [len(x), *x.shape[2:]]
        raise CamsbenchError(f"truth is {truth.dtype} {list(truth.shape)}: give float {shape}, a share a pixel")
    return outside_inference(truth)


def outside_inference(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of one that was made in inference mode and so could not be part of a gradient."""
    return tensor.clone() if tensor.is_inference() else tensor
