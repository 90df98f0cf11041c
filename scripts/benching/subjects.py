"""What is measured on: the embedded network on each backend, real images, and how passes are counted there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

import camsbench
from camsbench.core.passes import Passes, count_passes
from camsbench.data.embedded import samples
from camsbench.data.loader import read
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.split import TorchSplit

BACKENDS = ("torch", "onnxruntime", "openvino")
EMBEDDED = "efficientnet_lite0"
Network = TorchSplit | ExportedSplit | nn.Module


@dataclass(frozen=True)
class Bench:
    """The options of a bench.

    Args:
        output: where the tables go.
        repeats: of every measurement; None for 15 of what is fast and 5 of what is slow.
        budget: seconds a section, after which no further repeat begins.
        smoke: fewer images, steps and channels: shows that everything works, measures nothing.
        openvino_xai_python: the Python of an environment that holds openvino-xai.
    """

    output: Path
    repeats: int | None = None
    budget: float = 450.0
    smoke: bool = False
    openvino_xai_python: Path | None = None

    def times(self, usual: int) -> int:
        return self.repeats or usual


@lru_cache
def network(model: str = EMBEDDED, layer: str | None = None) -> TorchSplit:
    """A network on PyTorch; with random weights, but for the embedded one."""
    return camsbench.load_model(model, None if model == EMBEDDED else "random", layer, device="cpu")


@lru_cache
def on(backend: str, layer: str | None = None) -> TorchSplit | ExportedSplit:
    """The embedded network on a backend."""
    if backend == "torch":
        return network(layer=layer)
    return camsbench.load_model(EMBEDDED, layer=layer, device="cpu", backend=backend)


@lru_cache
def pictures(n: int, model: str = EMBEDDED) -> Tensor:
    """The first ``n`` sample images [n,3,224,224], over and over where there are more; normalised, channels last."""
    preprocess = network(model).preprocess
    pixels = [read(record, preprocess).pixels for record in samples()[:n]]
    found = torch.stack([p for p in pixels if p is not None])
    x = preprocess.normalise(found[torch.arange(n) % len(found)])
    return x.contiguous(memory_format=torch.channels_last)


@lru_cache
def targets(n: int) -> list[int]:
    """The classes that the embedded network predicts for ``pictures(n)``: everybody explains these."""
    with torch.no_grad():
        logits = torch.cat([network().logits(x) for x in pictures(n).split(16)])
    classes: list[int] = logits.argmax(1).tolist()
    return classes


@contextmanager
def counted_by(subject: Network) -> Iterator[Passes]:
    """Count the passes of a split, or of a peer's own copy of the model."""
    if not isinstance(subject, nn.Module):
        with count_passes(subject) as passes:
            yield passes
        return
    passes = Passes()
    hook = subject.register_forward_hook(lambda _, args, out: passes.count("network", out, len(args[0])))
    try:
        yield passes
    finally:
        hook.remove()
