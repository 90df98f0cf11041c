"""Layer-wise relevance propagation: a backward pass that carries relevance in place of gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import resolve_name

from camsbench.core.types import Split
from camsbench.errors import CamsbenchError
from camsbench.methods._applies import frozen, noise
from camsbench.methods._rules import ACTIVATIONS, Function, Rules

RULES = ("zplus", "epsilon")
TINY = 1e-30  # what lies below it gets no relevance, and divides none

ADDITIONS: set[Any] = {torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__}
PRODUCTS: set[Any] = {torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__}
AVERAGES: set[Any] = {F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, Tensor.mean, torch.sum, Tensor.sum}
ROUTES: set[Any] = {  # their own gradient takes relevance where it belongs
    *(F.max_pool2d, torch.max_pool2d, F.dropout, F.pad, torch.flatten, torch.cat, torch.reshape, torch.permute),
    *(torch.squeeze, torch.unsqueeze, torch.transpose, torch.chunk, torch.split, torch.clone, torch.concat),
    *(Tensor.flatten, Tensor.reshape, Tensor.view, Tensor.permute, Tensor.transpose, Tensor.squeeze, Tensor.detach),
    *(Tensor.unsqueeze, Tensor.contiguous, Tensor.chunk, Tensor.split, Tensor.clone, Tensor.__getitem__, Tensor.to),
    *(Tensor.float, Tensor.type, Tensor.expand, Tensor.mT.__get__, Tensor.T.__get__),  # type: ignore[attr-defined]
}


class RelevanceRules(Rules):
    """While entered, the network runs so that autograd carries relevance from its output to its input.

    Every rule passes relevance on in proportion to what each input contributed to an output:

    - convolutions and linear layers: ``zplus`` counts the positive contributions x⁺w⁺ + x⁻w⁻ (the α1β0 rule, bias
      left out); ``epsilon`` counts xw, and divides by the output (bias and all) ± ``epsilon``;
    - average pools: as a convolution of equal weights; max pools: all to the maximum;
    - BatchNorm: ``zplus`` passes relevance through, ``epsilon`` treats it as a linear layer;
    - a sum of two branches: in proportion to their signed values;
    - activations: relevance passes through;
    - a product with a gate (smaller than what it multiplies): all to the gated; of two equals: half to each.

    Entering a network with any other function raises a CamsbenchError.
    """

    def __init__(self, rule: str, epsilon: float = 0.0) -> None:
        self.positive = rule == "zplus"
        self.epsilon = 0.0 if self.positive else epsilon
        super().__init__(
            {
                **dict.fromkeys(ACTIVATIONS, _pass_through),
                **dict.fromkeys((F.conv2d, F.linear), self._weighted),
                **dict.fromkeys(AVERAGES, self._average),
                **dict.fromkeys(ADDITIONS, self._add),
                **dict.fromkeys(PRODUCTS, _multiply),
                F.batch_norm: _pass_through if self.positive else self._affine,
            }
        )

    def otherwise(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        out = func(*args, **kwargs)
        if func not in ROUTES and isinstance(out, Tensor) and out.requires_grad:
            raise CamsbenchError(
                f"relevance has no rule for {resolve_name(func) or func}, which this network uses: choose another "
                "method, or a model.layer= behind it"
            )
        return out

    def _weighted(
        self, function: Function, x: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        def forward(x: Tensor) -> Tensor:
            return function(x, weight, bias, *args, **kwargs)

        def contributions(p: Tensor, n: Tensor) -> Tensor:
            positive = function(p, weight.clamp(min=0), None, *args, **kwargs)
            return positive + function(n, weight.clamp(max=0), None, *args, **kwargs)

        def zplus(R: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            p, n = share(R, contributions, x.clamp(min=0), x.clamp(max=0))
            return (p + n,)

        def epsilon(R: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            return share(R, forward, x, epsilon=self.epsilon)

        return _Relevance.apply(forward, zplus if self.positive else epsilon, x)

    def _affine(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        def forward(x: Tensor) -> Tensor:
            return function(x, *args, **kwargs)

        return _Relevance.apply(forward, lambda R, x: share(R, forward, x, epsilon=self.epsilon), x)

    def _average(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        def forward(x: Tensor) -> Tensor:
            return function(x, *args, **kwargs)

        def rule(R: Tensor, x: Tensor) -> tuple[Tensor, ...]:
            return share(R, forward, x.clamp(min=0) if self.positive else x, epsilon=self.epsilon)

        return _Relevance.apply(forward, rule, x)

    def _add(self, function: Function, x: Any, y: Any, **kwargs: Any) -> Tensor:
        if not (_carries(x) and _carries(y)):  # a constant is a bias
            return _linear(function, x, y, **kwargs)

        def forward(x: Tensor, y: Tensor) -> Tensor:
            return function(x, y, **kwargs)

        return _Relevance.apply(forward, lambda R, x, y: share(R, forward, x, y, epsilon=self.epsilon), x, y)


_known: WeakKeyDictionary[nn.Module, dict[tuple[str, str], str]] = WeakKeyDictionary()


def refuse_without_rules(split: Split, rule: str, head: bool = False) -> None:
    """Refuse networks, or those whose ``head``, with a function that has no rule.

    Raises:
        CamsbenchError: this is one.
    """
    model: nn.Module = split.model  # type: ignore[attr-defined]  # of those that provide modules
    said, key = _known.setdefault(model, {}), (rule, split.layer if head else "")
    if key not in said:
        said[key] = ""
        x = noise(split)
        try:
            with torch.enable_grad():
                parts = split.plain.parts(x) if head else (x,)
                leaf = parts[0].detach().requires_grad_()
                with frozen(split), RelevanceRules(rule):
                    _ = split.plain.head(leaf, *parts[1:]) if head else split.plain.logits(leaf)
        except CamsbenchError as error:
            said[key] = str(error)
    if said[key]:
        raise CamsbenchError(said[key])


def share(R: Tensor, function: Callable[..., Tensor], *x: Tensor, epsilon: float = 0.0) -> tuple[Tensor, ...]:
    """x_i ⊙ (∂z/∂x_i)ᵀ(R/z) for each of the inputs, z = function(*x): relevance R of z, shared by contribution.

    With ``epsilon``, R/(z ± epsilon) by z's sign; without, outputs that are 0 pass nothing on.
    """
    with torch.enable_grad():
        leaves = [v.detach().requires_grad_() for v in x]
        z = function(*leaves)
    if epsilon:
        ratio = R / (z + torch.where(z >= 0, epsilon, -epsilon)).detach()
    else:
        silent = z.detach().abs() < TINY
        ratio = torch.where(silent, 0, R / torch.where(silent, 1, z.detach()))
    return tuple(v.detach() * g for v, g in zip(x, torch.autograd.grad(z, leaves, ratio), strict=True))


class _Relevance(torch.autograd.Function):
    """``forward(*x)``, whose backward pass is ``rule(R, *x)``."""

    @staticmethod
    def forward(ctx: Any, forward: Callable[..., Tensor], rule: Callable[..., tuple[Tensor, ...]], *x: Tensor) -> Any:
        ctx.rule = rule
        ctx.save_for_backward(*x)
        return forward(*x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        return None, None, *ctx.rule(grads[0], *ctx.saved_tensors)


class _PassThrough(torch.autograd.Function):
    """``forward(x)``, whose backward pass is the identity (summed where x was broadcast)."""

    @staticmethod
    def forward(ctx: Any, forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return forward(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0].sum_to_size(ctx.shape)


def _carries(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _pass_through(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    return _PassThrough.apply(lambda x: function(x, *args, **kwargs), x)


def _linear(function: Function, x: Any, y: Any, **kwargs: Any) -> Tensor:
    """A function of one operand that carries relevance, and a constant: all relevance goes to the one."""
    if _carries(x):
        return _PassThrough.apply(lambda x: function(x, y, **kwargs), x)
    if _carries(y):
        return _PassThrough.apply(lambda y: function(x, y, **kwargs), y)
    return function(x, y, **kwargs)


def _multiply(function: Function, x: Any, y: Any, **kwargs: Any) -> Tensor:
    if not (_carries(x) and _carries(y)):
        return _linear(function, x, y, **kwargs)
    if x.numel() == y.numel():
        return _Relevance.apply(lambda x, y: function(x, y, **kwargs), lambda R, *_: (R / 2, R / 2), x, y)
    gated, gate = (x, y) if x.numel() > y.numel() else (y, x)
    return _linear(function, gated, gate.detach(), **kwargs)
