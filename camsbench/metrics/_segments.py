"""Segments of pictures, by SLIC: scikit-image's, on the host."""

from __future__ import annotations

import numpy as np
import torch
from skimage.segmentation import slic
from torch import Tensor


def slic_segments(pictures: Tensor, segments: int, compactness: float) -> Tensor:
    """The segment [B,H,W] that each pixel of pictures [B,C,H,W] in [0,1] lies in, numbered from 0 on without a gap.

    Args:
        segments: how many SLIC (Achanta et al. 2012) is asked for; it makes about so many.
        compactness: how much nearness counts beside colour.
    """
    host = pictures.movedim(1, -1).double().cpu().numpy()
    options = {"n_segments": segments, "compactness": compactness, "start_label": 0, "channel_axis": -1}
    labels = [np.unique(slic(picture, **options), return_inverse=True)[1].reshape(host.shape[1:3]) for picture in host]
    return torch.from_numpy(np.stack(labels)).to(pictures.device)
