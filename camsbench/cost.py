"""How many passes of the network an explanation costs: counted, not claimed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from torch import Tensor, nn

from camsbench.engine import compiled
from camsbench.folding import folded
from camsbench.heads import linear_head
from camsbench.split import TorchSplit


@dataclass
class Passes:
    """Images passed through the features and the head, and images whose gradient was taken.

    ``through`` counts the gradients, among those of ``backward``, that went on from the head through the features.
    ``tail`` counts the copies that a closed form (``camsbench.closed_forms``) takes through the layers behind the
    head's first linear one, which ``head`` does not see.
    """

    features: int = 0
    head: int = 0
    backward: int = 0
    through: int = 0
    tail: int = 0

    @property
    def forward(self) -> int:
        """Passes of the whole network."""
        return self.features

    @property
    def head_only(self) -> int:
        """Passes of the head beyond those that complete a pass of the whole network."""
        return max(0, self.head - self.features)

    def watch(self, part: str, out: object, images: int) -> None:
        """Count ``images`` that passed ``part`` (features, head, tail or model: all of it), and ``out``'s gradients."""
        self.features += images * (part in {"features", "model"})
        self.head += images * (part in {"head", "model"})
        self.tail += images * (part == "tail")
        if part != "tail" and isinstance(out, Tensor) and out.requires_grad:
            out.register_hook(lambda _: self._back(part, images))

    def _back(self, part: str, images: int) -> None:
        self.backward += images * (part != "features")
        self.through += images * (part != "head")

    def __add__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def __sub__(self, other: Passes) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) - getattr(other, f.name) for f in fields(self)})

    def __mul__(self, images: int) -> Passes:
        return Passes(**{f.name: getattr(self, f.name) * images for f in fields(self)})


@contextmanager
def counted(split: TorchSplit) -> Iterator[Passes]:
    """Count the passes of ``split`` inside the block, the uncut model's too."""
    passes = Passes()

    def through(part: str) -> object:
        def count(module: nn.Module, args: tuple[Tensor, ...], out: object) -> None:
            passes.watch(part, out, len(args[0]))

        return count

    parts: list[tuple[nn.Module, str]] = [(split.model, "model")]
    for traced, part in ((split.features_graph, "features"), (split.head_graph, "head")):
        modules = {traced, folded(traced)} if split.fold else {traced}
        modules |= {compiled(module, split.micro_batch.size) for module in modules if split.compile}
        parts += [(module, part) for module in modules]
    closed = linear_head(split)
    if closed is not None and closed.rest is not None:
        parts.append((closed.rest, "tail"))
    handles = [module.register_forward_hook(through(part)) for module, part in parts]  # type: ignore[arg-type]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
