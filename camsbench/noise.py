"""Random streams keyed on the image, so that one image gives the same row in any batch, shard or order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from camsbench.types import Forward

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: neighbouring copies get distant seeds


def stream_seeds(seed: int, ids: Iterable[str]) -> tuple[int, ...]:
    """A 63-bit seed for each image id, from ``seed`` and the id alone."""
    return tuple(
        int.from_bytes(hashlib.blake2b(f"{seed}/{image_id}".encode(), digest_size=8).digest(), "little") >> 1
        for image_id in ids
    )


def normal(forward: Forward, copies: int, chunk: slice) -> Tensor:
    """Standard normal noise [m,3,H,W] for the ``chunk`` of the ``copies`` copies of each image, image by image.

    Drawn on the host, so that every device sees the same, each copy from its own stream, so that only a chunk of them
    is held at once.
    """
    draws = []
    for index in range(chunk.start, chunk.stop):
        image, copy = divmod(index, copies)
        generator = torch.Generator().manual_seed((forward.seeds[image] + copy * GOLDEN) % 2**63)
        draws.append(torch.randn(forward.x.shape[1:], generator=generator))
    noise = torch.stack(draws)
    if forward.x.is_cuda:
        return noise.pin_memory().to(forward.x.device, non_blocking=True)
    return noise
