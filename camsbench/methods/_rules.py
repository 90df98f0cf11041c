"""Backward passes by rules of their own: the network's functions are replaced while it runs, nothing of it changes.

A PyTorch function mode sees each function that the network calls, also inside modules that torch.fx leaves whole, for
reused modules and for ``F.relu``: so no hook, no copy and no module of the network is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

Function = Callable[..., Any]
Rule = Callable[..., Any]
"""``rule(function, *args, **kwargs)`` takes the place of ``function(*args, **kwargs)``; it never works in place."""

IN_PLACE: dict[Function, Function] = {
    torch.relu_: torch.relu,
    Tensor.relu_: Tensor.relu,
    Tensor.add_: Tensor.add,
    Tensor.__iadd__: Tensor.add,
    Tensor.mul_: Tensor.mul,
    Tensor.__imul__: Tensor.mul,
}
RECTIFIERS: frozenset[Any] = frozenset({F.relu, torch.relu, Tensor.relu, F.relu6, F.hardtanh})
CURVED: frozenset[Any] = frozenset(
    {F.silu, F.gelu, F.elu, F.leaky_relu, F.hardswish, F.hardsigmoid, F.mish, F.softplus, F.sigmoid, F.tanh}
    | {torch.sigmoid, Tensor.sigmoid, torch.tanh, Tensor.tanh}
)
ACTIVATIONS = RECTIFIERS | CURVED  # functions of one cell


class Rules(TorchFunctionMode):
    """While entered, calls of the table's functions go through their rules."""

    def __init__(self, table: Mapping[Function, Rule]) -> None:
        super().__init__()
        self.table = table

    def __torch_function__(
        self, func: Function, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        rule = self.table.get(IN_PLACE.get(func, func))
        if rule is None:
            return self.otherwise(func, args, kwargs)
        if not kwargs.pop("inplace", False) and func not in IN_PLACE:
            return rule(func, *args, **kwargs)
        overwritten, rest = args[0], args[1:]  # a rule may keep its input for the backward pass: give it a copy
        return overwritten.copy_(rule(IN_PLACE.get(func, func), overwritten.clone(), *rest, **kwargs))

    def otherwise(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What becomes of a function without a rule."""
        return func(*args, **kwargs)


def rectifier_rules(*, guided: bool) -> Rules:
    """ReLU and ReLU6 pass back ReLU(gradient); where ``guided``, only at cells where they also passed forward."""

    def rule(function: Function, x: Tensor, **kwargs: Any) -> Tensor:
        if function is F.hardtanh and kwargs["min_val"] != 0:
            return function(x, **kwargs)
        return _Rectifier.apply(x, lambda z: function(z, **kwargs), guided)

    return Rules(dict.fromkeys(RECTIFIERS, rule))


class _Rectifier(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, function: Function, guided: bool) -> Tensor:
        out = function(x)
        ctx.guided = guided
        if guided:
            ctx.save_for_backward((x > 0) & (out == x))  # x up to 6 for ReLU6
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        gradient = grads[0].relu()
        return (gradient * ctx.saved_tensors[0] if ctx.guided else gradient), None, None
