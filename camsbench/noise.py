"""Random streams keyed on the image, so that one image gives the same row in any batch, shard or order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from camsbench.types import Forward


def stream_seeds(seed: int, ids: Iterable[str]) -> tuple[int, ...]:
    """A 63-bit seed for each image id, from ``seed`` and the id alone."""
    return tuple(
        int.from_bytes(hashlib.blake2b(f"{seed}/{image_id}".encode(), digest_size=8).digest(), "little") >> 1
        for image_id in ids
    )


def normal_like(forward: Forward, copies: int) -> Tensor:
    """Standard normal noise [B,copies,3,H,W], drawn on the host so that every device sees the same."""
    shape = (copies, *forward.x.shape[1:])
    draws = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in forward.seeds]
    noise = torch.stack(draws)
    if forward.x.is_cuda:
        return noise.pin_memory().to(forward.x.device, non_blocking=True)
    return noise


def normal_copies(forward: Forward, image: Sequence[int], copy: Sequence[int]) -> Tensor:
    """Standard normal noise [m,3,H,W] for copy ``copy[j]`` of image ``image[j]``, drawn on the host.

    Each copy has a stream of its own, so a few can be drawn at a time, in any order.
    """
    streams = [stream_seeds(forward.seeds[i], [str(n)])[0] for i, n in zip(image, copy, strict=True)]
    shape = forward.x.shape[1:]
    noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in streams])
    return noise.to(forward.x.device)
