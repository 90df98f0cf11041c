"""Which functions a network calls: by these a method knows, before any work, whether it applies."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from camsbench.core.types import Split
from camsbench.errors import CamsbenchError
from camsbench.methods._rules import RECTIFIERS, Function, Rules

ATTENTION: frozenset[Any] = frozenset(
    {F.scaled_dot_product_attention, F.multi_head_attention_forward, F.softmax, torch.softmax, Tensor.softmax}
)
_known: WeakKeyDictionary[nn.Module, frozenset[Function]] = WeakKeyDictionary()


def functions_of(split: Split) -> frozenset[Function]:
    """The functions that a pass of the network calls."""
    model: nn.Module = split.model  # type: ignore[attr-defined]  # of those that provide modules
    if model not in _known:
        mode = _Names()
        with torch.no_grad(), mode:
            split.plain.logits(noise(split))
        _known[model] = frozenset(mode.called)
    return _known[model]


def noise(split: Split) -> Tensor:
    """An image [1,C,H,W] of seeded noise, for a dry pass."""
    drawn = torch.randn(1, *split.preprocess.shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(split.device, getattr(split, "dtype", torch.float32))


def refuse_attention(split: Split, why: str) -> None:
    """Refuse networks with attention.

    Raises:
        CamsbenchError: this is one; ``why`` ends the sentence.
    """
    if functions_of(split) & ATTENTION:
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
