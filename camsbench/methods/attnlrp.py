"""AttnLRP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import resolve_name

from camsbench.core.passes import in_micro_batches
from camsbench.core.types import About, Forward, Split
from camsbench.errors import CamsbenchError, check_choices
from camsbench.methods._applies import frozen, has_attention, noise
from camsbench.methods._attention import opened
from camsbench.methods._pixelwise import REDUCTIONS, gradient_of, reduce_channels
from camsbench.methods._rules import ACTIVATIONS, Function, Rules

PRODUCTS: set[Any] = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm}
GATES: set[Any] = {torch.mul, torch.multiply, Tensor.mul, Tensor.multiply, Tensor.__mul__, Tensor.__rmul__}
SUMS: set[Any] = {  # of several activations; their own gradient is right
    *(torch.add, torch.sub, Tensor.add, Tensor.add_, Tensor.sub, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__),
    *(Tensor.__sub__, Tensor.__rsub__, torch.cat, torch.concat, torch.stack, torch.where, Tensor.copy_),
}
UNRULED: set[Any] = {  # of one activation; their own gradient is no relevance
    *(F.glu, F.group_norm, torch.group_norm, F.instance_norm, F.local_response_norm, F.normalize, torch.norm),
    *(torch.rsqrt, Tensor.rsqrt, torch.sqrt, Tensor.sqrt, torch.var, Tensor.var, Tensor.norm, torch.reciprocal),
}


def attention_rules() -> Rules:
    """A backward pass whose gradient times input is relevance, by the rules of AttnLRP (Table 1, and lxt's code).

    - linear layers and convolutions, softmax: their own gradient (the ε rule with ε = 0; a Taylor expansion);
    - products of two activations, such as queries and keys, attention and values, gates: half to each;
    - norms over channels: the standard deviation is a constant;
    - activations: relevance passes through (an input's share is its output's, whatever the slope).
    """
    rules = opened(lambda probabilities, _: probabilities, _product)
    norms: dict[Function, Any] = {
        F.layer_norm: _layer_norm,
        torch.layer_norm: _layer_norm,
        F.rms_norm: _rms_norm,
        torch.rms_norm: _rms_norm,
    }
    shared = dict.fromkeys(PRODUCTS | GATES, _shared)
    rules.table = {**rules.table, **norms, **shared, **dict.fromkeys(ACTIVATIONS, _pass_through)}
    return rules


@dataclass(frozen=True)
class AttnLRP:
    """AttnLRP (Achtibat et al. 2024): the relevance of the pixels, by layer-wise propagation through attention too.

    The relevance of a value is the value times its gradient under the rules of ``attention_rules``; the colour channels
    are added up with their sign. Linear layers and convolutions have the ε rule; the paper's experiments on vision
    transformers take a γ rule for these, tuned for each network.

    Args:
        reduce: over the colour channels: ``sum`` (signed), ``abs_sum`` or ``abs_max``.

    Returns:
        Raw map [B,H,W].

    Raises:
        CamsbenchError: the network has no attention.
    """

    reduce: str = "sum"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("AttnLRP", "Achtibat et al.", 2024, "backpropagation")

    def __post_init__(self) -> None:
        check_choices(self, reduce=REDUCTIONS)

    def check(self, split: Split) -> None:
        if not has_attention(split):
            raise CamsbenchError(f"{split.name} has no attention: use method=lrp")
        with torch.enable_grad(), frozen(split), _Ruled():
            split.plain.logits(noise(split).requires_grad_())

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        def relevance(chunk: slice) -> Tensor:
            with torch.enable_grad():
                leaf = forward.x[chunk].detach().requires_grad_()
                with frozen(split), attention_rules():
                    logits = split.logits(leaf)
                gradient = gradient_of(split.asked.score(logits, forward.target[chunk]).sum(), leaf)
            return reduce_channels(leaf.detach() * gradient, self.reduce)

        return in_micro_batches(split.micro_batch, len(forward.x), relevance)


class _Ruled(Rules):
    """While entered, refuses functions of which the rules know nothing."""

    def __init__(self) -> None:
        super().__init__({})
        self.known = set(attention_rules().table) | SUMS

    def otherwise(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        carrying = [t for t in _tensors((args, tuple(kwargs.values()))) if t.requires_grad]
        if func not in self.known and (len(carrying) > 1 or (func in UNRULED and carrying)):
            raise CamsbenchError(f"relevance has no rule for {resolve_name(func) or func}, which this network uses")
        return func(*args, **kwargs)


def _tensors(given: Any) -> Iterator[Tensor]:
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, (tuple, list)):
        for each in given:
            yield from _tensors(each)


def _halved(x: Tensor) -> Tensor:
    """``x``, which passes back half of its gradient."""
    return x / 2 + x.detach() / 2


def _product(a: Tensor, b: Tensor) -> Tensor:
    return _halved(a) @ _halved(b)


def _shared(function: Function, x: Any, y: Any, *args: Any, **kwargs: Any) -> Tensor:
    both = all(isinstance(each, Tensor) and each.requires_grad for each in (x, y))
    out: Tensor = function(_halved(x), _halved(y), *args, **kwargs) if both else function(x, y, *args, **kwargs)
    return out


def _pass_through(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    out = function(x, *args, **kwargs).detach()
    return x * torch.where(x == 0, 0, out / torch.where(x == 0, 1, x)).detach() + torch.where(x == 0, out, 0)


def _layer_norm(
    function: Function,
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *rest: Any,
) -> Tensor:
    over = tuple(range(-len(normalized_shape), 0))
    centred = x - x.mean(over, keepdim=True)
    out = centred / (centred.pow(2).mean(over, keepdim=True) + eps).sqrt().detach()
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def _rms_norm(
    function: Function, x: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    over = tuple(range(-len(normalized_shape), 0))
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    out = x / (x.pow(2).mean(over, keepdim=True) + eps).sqrt().detach()
    return out if weight is None else out * weight
