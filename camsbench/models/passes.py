"""How many passes of the network an explanation costs: counted, not claimed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields

from torch import Tensor, nn

from camsbench.core.heads import linear_head
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.compiled import compiled
from camsbench.models.folding import folded
from camsbench.models.split import TorchSplit


@dataclass
class Passes:
    """Images passed through the features and the head, and images whose gradient was taken.

    ``through`` counts the gradients, among those of ``backward``, that went on from the head through the features.
    ``tail`` counts the copies that a closed form (``camsbench.core.closed_forms``) takes through the layers behind the
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
def counted(*splits: TorchSplit | ExportedSplit) -> Iterator[Passes]:
    """Count the passes of a network inside the block, whatever layers it is cut at, and the uncut model's too."""
    passes = Passes()
    with ExitStack() as stack:
        for split in splits:
            if isinstance(split, ExportedSplit):
                watch = _watcher(passes)
                split.watchers.append(watch)
                stack.callback(split.watchers.remove, watch)
        hooked = {module: part for split in splits if isinstance(split, TorchSplit) for module, part in _parts(split)}
        for module, part in hooked.items():  # each module once: several layers share the model
            stack.callback(module.register_forward_hook(_hook(passes, part)).remove)
        yield passes


def _parts(split: TorchSplit) -> Iterator[tuple[nn.Module, str]]:
    yield split.model, "model"
    for traced, part in ((split.features_graph, "features"), (split.head_graph, "head")):
        modules = {traced, folded(traced)} if split.fold else {traced}
        modules |= {compiled(module, split.micro_batch.size) for module in modules if split.compile}
        yield from ((module, part) for module in modules)
    closed = linear_head(split)
    if closed is not None and closed.rest is not None:
        yield closed.rest, "tail"


def _hook(passes: Passes, part: str) -> Callable[[nn.Module, tuple[Tensor, ...], object], None]:
    return lambda module, args, out: passes.watch(part, out, len(args[0]))


def _watcher(passes: Passes) -> Callable[[str, int], None]:
    return lambda part, images: passes.watch(part, None, images)
