"""How many passes of the network an explanation costs: counted, not claimed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from camsbench.folding import folded
from camsbench.heads import linear_head
from camsbench.split import TorchSplit


@dataclass
class Passes:
    """Images passed through the features and the head, and images whose gradient was taken.

    ``tail`` counts the copies that a closed form (``camsbench.closed_forms``) takes through the layers behind the
    head's first linear one, which ``head`` does not see.
    """

    features: int = 0
    head: int = 0
    backward: int = 0
    tail: int = 0

    @property
    def forward(self) -> int:
        """Passes of the whole network."""
        return self.features

    @property
    def head_only(self) -> int:
        """Passes of the head beyond those that complete a pass of the whole network."""
        return max(0, self.head - self.features)


@contextmanager
def counted(split: TorchSplit) -> Iterator[Passes]:
    """Count the passes of ``split`` inside the block, the uncut model's too."""
    passes = Passes()

    def through(part: str) -> object:
        def count(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            images = len(args[0])
            if part in {"features", "model"}:
                passes.features += images
            if part == "tail":
                passes.tail += images
            if part in {"head", "model"}:
                passes.head += images
                if isinstance(out, Tensor) and out.requires_grad:
                    out.register_hook(lambda gradient: _add(passes, len(gradient)))

        return count

    parts: list[tuple[str, nn.Module]] = [("model", split.model)]
    for part, traced in (("features", split.features_graph), ("head", split.head_graph)):
        parts += [(part, module) for module in {traced, folded(traced)}]
    closed = linear_head(split)
    if closed is not None and closed.rest is not None:
        parts.append(("tail", closed.rest))
    handles = [module.register_forward_hook(through(part)) for part, module in parts]  # type: ignore[arg-type]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def _add(passes: Passes, images: int) -> None:
    passes.backward += images
