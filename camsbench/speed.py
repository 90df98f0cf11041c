"""How fast the bare passes of a network are: measured on this machine, or given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from camsbench.core.heads import linear_head
from camsbench.core.types import Split
from camsbench.cost import Passes
from camsbench.split import TorchSplit

IMAGES = {"cpu": 2, "cuda": 64}  # a CPU's convolutions hardly grow faster beyond
SECONDS = 0.5  # how long each kind of pass is repeated, once at least


@dataclass(frozen=True)
class Speed:
    """Seconds an image of each kind of pass: through the features, the head, back through either, and the tail."""

    features: float
    head: float
    back_head: float = 0.0
    back_features: float = 0.0
    tail: float = 0.0

    def seconds(self, passes: Passes) -> float:
        """How long ``passes`` take."""
        head = max(passes.head, passes.features)  # the uncut network passes both
        return (
            passes.features * self.features
            + head * self.head
            + passes.backward * self.back_head
            + passes.through * self.back_features
            + passes.tail * self.tail
        )

    @property
    def forward_rate(self) -> float:
        """Passes of the whole network a second."""
        return 1 / (self.features + self.head)


def measured(split: TorchSplit, x: Tensor, A: Tensor) -> Speed:
    """The speed of a network here, on images ``x`` [B,3,H,W] and their activations ``A`` [B,K,h,w]."""
    A = A.repeat(-(-split.micro_batch.size // len(A)), 1, 1, 1)  # VGG's head reads 400 MB of weights a micro-batch
    return by_kind(lambda work, n: _repeat(work, split.device) / n, split, x, A)


def given(split: TorchSplit, x: Tensor, A: Tensor, rate: float) -> Speed:
    """The speed of a network that passes ``rate`` images a second, on whatever machine.

    Its head and its gradients take their share of the multiplications, counted without doing them.
    """
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        flops = by_kind(lambda work, n: _flops(work) / n, split, fake.from_tensor(x), fake.from_tensor(A))
    per_flop = 1 / rate / (flops.features + flops.head)
    return Speed(*(value * per_flop for value in vars(flops).values()))


ALL = Passes(1, 1, 1, 1)


def by_kind(
    cost: Callable[[Callable[[], Any], int], float], split: Split, x: Tensor, A: Tensor, passes: Passes = ALL
) -> Speed:
    """``cost(work, images)`` an image of each kind of pass that is among ``passes``.

    A gradient's is what a pass with it costs more than one without.
    """

    def back(part: Callable[[Tensor], Tensor], at: Tensor) -> None:
        with torch.enable_grad():
            part(at.detach().requires_grad_()).sum().backward()  # autograd.grad would trip FlopCounterMode's hooks

    closed = linear_head(split) if passes.tail else None
    with torch.no_grad():
        copies = split.for_copies  # nearly all of a run's passes
        head = cost(lambda: copies.head(A), len(A))
        features = cost(lambda: copies.logits(x), len(x)) - head  # backends run the whole network as one graph
        tail = 0.0
        if closed is not None and (rest := closed.rest) is not None:
            behind = torch.zeros(len(A), closed.linear.out_features, device=A.device)
            tail = cost(lambda: rest(behind), len(A))
    back_head = cost(lambda: back(split.head, A), len(A)) - head if passes.backward else 0.0
    back_features = cost(lambda: back(split.features, x), len(x)) - features if passes.through else 0.0
    return Speed(features, head, max(0.0, back_head), max(0.0, back_features), tail)


def sample(split: TorchSplit) -> tuple[Tensor, Tensor]:
    """A few noise images [B,3,H,W], and their activations [B,K,h,w]; this pass warms up, too."""
    side = split.preprocess.crop
    images = min(split.micro_batch.size, IMAGES.get(split.device.type, 8))
    noise = torch.randn(images, 3, side, side, generator=torch.Generator().manual_seed(0))
    x = noise.to(split.device, memory_format=torch.channels_last)
    with torch.no_grad():
        return x, split.features(x)


def _flops(work: Callable[[], Any]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _repeat(work: Callable[[], Any], device: torch.device) -> float:
    """Seconds of the fastest of several repeats."""
    return min(times(work, device, None, SECONDS))


def times(work: Callable[[], Any], device: torch.device, repeats: int | None, seconds: float) -> list[float]:
    """Seconds of each of ``repeats``, or of three when these took ``seconds``; None: as many as fit, at least one."""
    found: list[float] = []
    _wait(device)
    while (len(found) < repeats) if repeats else True:
        if sum(found) >= seconds and len(found) >= (3 if repeats else 1):
            break
        start = time.perf_counter()
        work()
        _wait(device)
        found.append(time.perf_counter() - start)
    return found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
