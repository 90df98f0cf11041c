"""Which functions a network calls: by these a method knows, before any work, whether it applies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from camsbench.core.types import Split
from camsbench.errors import CamsbenchError
from camsbench.methods._attention import opened
from camsbench.methods._rules import RECTIFIERS, Function, Rules

_known: WeakKeyDictionary[nn.Module, frozenset[Function]] = WeakKeyDictionary()
_attends: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def functions_of(split: Split) -> frozenset[Function]:
    """The functions that a pass of the network calls."""
    model: nn.Module = split.model  # type: ignore[attr-defined]  # of those that provide modules
    if model not in _known:
        mode = _Names()
        with torch.no_grad(), mode:
            split.plain.logits(noise(split))
        _known[model] = frozenset(mode.called)
    return _known[model]


def has_attention(split: Split) -> bool:
    """Whether several tokens attend to several; a softmax over branches, or of one query, is none."""
    model: nn.Module = split.model  # type: ignore[attr-defined]  # of those that provide modules
    if model not in _attends:
        queries: list[int] = []

        def note(probabilities: Tensor, _: Tensor) -> Tensor:
            queries.append(probabilities.shape[2])
            return probabilities

        with torch.no_grad(), opened(note):
            split.plain.logits(noise(split))
        _attends[model] = any(count > 1 for count in queries)
    return _attends[model]


@contextmanager
def frozen(split: Split) -> Iterator[None]:
    """The network's parameters without gradients until it is left: then what has a gradient is made of the image."""
    model: nn.Module = split.model  # type: ignore[attr-defined]  # of those that provide modules
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def noise(split: Split) -> Tensor:
    """An image [1,C,H,W] of seeded noise, for a dry pass."""
    drawn = torch.randn(1, *split.preprocess.shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(split.device, getattr(split, "dtype", torch.float32))


def refuse_attention(split: Split, why: str) -> None:
    """Refuse networks with attention.

    Raises:
        CamsbenchError: this is one; ``why`` ends the sentence.
    """
    if has_attention(split):
        raise CamsbenchError(f"{split.name} has attention, {why}")


def refuse_without_rectifiers(split: Split) -> None:
    """Refuse networks without a ReLU, for which a method of ReLUs is the plain gradient.

    Raises:
        CamsbenchError: this is one.
    """
    if not functions_of(split) & RECTIFIERS:
        raise CamsbenchError(
            f"{split.name} has no ReLU, whose backward pass this method changes: use method=smoothgrad"
        )


class _Names(Rules):
    """While entered, notes the functions that are called."""

    def __init__(self) -> None:
        super().__init__({})
        self.called: set[Function] = set()

    def otherwise(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.called.add(func)
        return func(*args, **kwargs)
