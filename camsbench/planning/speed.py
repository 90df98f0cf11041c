"""How fast the passes of a network are: measured on this machine in a second or two, or given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from camsbench.cost import Passes
from camsbench.split import TorchSplit

IMAGES = {"cpu": 2, "cuda": 64}  # a CPU's convolutions hardly grow faster beyond
SECONDS = 0.5  # how long each kind of pass is repeated, once at least


@dataclass(frozen=True)
class Speed:
    """Seconds an image of each kind of pass: through the features, the head, and back through either."""

    features: float
    head: float
    back_head: float
    back_features: float

    def seconds(self, passes: Passes) -> float:
        """How long ``passes`` take."""
        head = max(passes.head, passes.features)  # the uncut network passes both
        return (
            passes.features * self.features
            + head * self.head
            + passes.backward * self.back_head
            + passes.through * self.back_features
        )

    @property
    def forward_rate(self) -> float:
        """Passes of the whole network a second."""
        return 1 / (self.features + self.head)


def measured(split: TorchSplit) -> Speed:
    """The speed of a network here, in micro-batches as the run packs them."""
    images = min(split.micro_batch.size, IMAGES.get(split.device.type, 8))
    x, A = _input(split, images)
    A = A.repeat(-(-split.micro_batch.size // images), 1, 1, 1)  # VGG's head reads 400 MB of weights a micro-batch
    return _speed(lambda work, n: _repeat(work, split.device) / n, split, x, A)


def given(split: TorchSplit, rate: float) -> Speed:
    """The speed of a network that passes ``rate`` images a second, on whatever machine.

    Its head and its gradients take their share of the multiplications, counted on one image.
    """
    x, A = _input(split, 1)
    flops = _speed(lambda work, _: _flops(work), split, x, A)
    per_flop = 1 / rate / (flops.features + flops.head)
    return Speed(*(value * per_flop for value in vars(flops).values()))


def _speed(cost: Callable[[Callable[[], Any], int], float], split: TorchSplit, x: Tensor, A: Tensor) -> Speed:
    """``cost`` an image of each kind of pass; a gradient's is what a pass with it costs more than one without."""

    def back(part: Callable[[Tensor], Tensor], at: Tensor) -> None:
        with torch.enable_grad():
            part(at.detach().requires_grad_()).sum().backward()  # autograd.grad would trip FlopCounterMode's hooks

    with torch.no_grad():
        features, head = cost(lambda: split.features(x), len(x)), cost(lambda: split.head(A), len(A))
    return Speed(
        features,
        head,
        max(0.0, cost(lambda: back(split.head, A), len(A)) - head),
        max(0.0, cost(lambda: back(split.features, x), len(x)) - features),
    )


def _input(split: TorchSplit, images: int) -> tuple[Tensor, Tensor]:
    """Noise images, and their activations; this pass warms up, too."""
    side = split.preprocess.crop
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
    best = float("inf")
    begun = time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best
