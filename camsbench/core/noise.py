"""Random streams keyed on the image, so that one image gives the same row in any batch, shard or order."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from camsbench.core.types import Forward

GOLDEN, FIRST, SECOND = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # of SplitMix64, as signed


def stream_seeds(seed: int, ids: Iterable[str]) -> tuple[int, ...]:
    """A 63-bit seed for each image id, from ``seed`` and the id alone."""
    return tuple(
        int.from_bytes(hashlib.blake2b(f"{seed}/{image_id}".encode(), digest_size=8).digest(), "little") >> 1
        for image_id in ids
    )


def branch(forward: Forward, name: str) -> Forward:
    """The same pass with other random streams, keyed on each image's own and ``name``.

    A measure draws from a branch, so that what it draws has nothing to do with what the method drew.
    """
    return replace(forward, seeds=tuple(seed for own in forward.seeds for seed in stream_seeds(own, [name])))


def drawn(forward: Forward, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    """What ``draw`` makes of each image's own generator, [B,...]: on the host, so that every device sees the same."""
    return _sent(torch.stack([draw(torch.Generator().manual_seed(seed)) for seed in forward.seeds]), forward)


def normal(forward: Forward, pairs: Iterable[tuple[int, int]]) -> Tensor:
    """Standard normal noise [m,3,H,W] for copy ``copy`` of image ``image``, for each pair (image, copy).

    Drawn on the host, so that every device sees the same; each copy has its own stream, so that only those of a
    micro-batch are held at once.
    """
    draws = []
    for image, copy in pairs:
        generator = torch.Generator().manual_seed((forward.seeds[image] + copy * GOLDEN) % 2**63)
        draws.append(torch.randn(forward.x.shape[1:], generator=generator))
    return _sent(torch.stack(draws), forward)


def normal_at(forward: Forward, image: Tensor, copy: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise [m,*shape] of copy ``copy[j]`` of image ``image[j]``, made on the device when it is needed.

    For noise that is too large to hold: a counter-based generator (SplitMix64, Steele et al. 2014, then Box-Muller)
    whose draw depends on the image's seed and the copy's number alone, not on what was drawn before.
    """
    device = forward.x.device
    seeds = torch.tensor(forward.seeds, device=device)
    streams = _mix(seeds[image] + (copy + 1) * GOLDEN)
    count = math.prod(shape)
    bits = _mix(streams[:, None] + torch.arange(1, (count + 1) // 2 + 1, device=device) * GOLDEN)
    radius = (-2 * (((bits >> 32) & 0xFFFFFFFF).float() + 0.5).div(2**32).log()).clamp(min=0).sqrt()
    angle = (bits & 0xFFFFFFFF).float() * (2 * math.pi / 2**32)
    pairs = torch.cat([radius * angle.cos(), radius * angle.sin()], 1)
    return pairs[:, :count].reshape(len(image), *shape)


def _mix(z: Tensor) -> Tensor:
    """SplitMix64's finaliser on int64, whose products wrap; shifts are made logical."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * FIRST
    z = (z ^ ((z >> 27) & (2**37 - 1))) * SECOND
    return z ^ ((z >> 31) & (2**33 - 1))


def _sent(draws: Tensor, forward: Forward) -> Tensor:
    if forward.x.is_cuda:
        return draws.pin_memory().to(forward.x.device, non_blocking=True)
    return draws
