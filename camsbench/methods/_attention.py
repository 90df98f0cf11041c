"""Attention opened: the probabilities of each attention of a pass, and a say in what becomes of them.

Networks call a fused attention, PyTorch's ``MultiheadAttention``, or a softmax of their own. A function mode sees all
three, wherever they are called, and opens them for one pass: no hook holds what a second pass would overwrite.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.types import Split
from camsbench.errors import CamsbenchError
from camsbench.methods._rules import Function, Rules

SOFTMAXES: tuple[Any, ...] = (F.softmax, torch.softmax, Tensor.softmax)
MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
Seen = Callable[[Tensor, Tensor], Tensor]
"""Given an attention's probabilities [B,H,N,M], of N queries to M keys, and its scores before the softmax; what it
returns takes the probabilities' place."""


def opened(seen: Seen, weigh: Callable[[Tensor, Tensor], Tensor] = torch.matmul) -> Rules:
    """While entered, each attention goes through ``seen``, and ``weigh`` takes the values by its probabilities.

    Of softmaxes that a network calls itself, those of [B,H,N,M] over the last axis are taken for attention.
    """

    def attend(
        q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scale: float | None = None, causal: bool = False
    ) -> Tensor:
        scores = weigh(q, k.transpose(-2, -1)) * (q.shape[-1] ** -0.5 if scale is None else scale)
        if causal:
            upper = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(upper, -torch.inf)
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        return weigh(seen(scores.softmax(-1), scores), v)

    def fused(
        function: Function,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        if enable_gqa:
            key, value = (t.repeat_interleave(query.shape[1] // t.shape[1], 1) for t in (key, value))
        return attend(query, key, value, attn_mask, scale, is_causal)

    def multi_head(function: Function, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        given = MULTI_HEAD.bind(*args, **kwargs)
        given.apply_defaults()
        return _multi_head(given.arguments, attend), None

    def softmax(function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        out: Tensor = function(x, *args, **kwargs)
        axis = kwargs.get("dim", args[0] if args else None)
        return seen(out, x) if x.ndim == 4 and axis in (-1, 3) else out

    return Rules(
        {
            F.scaled_dot_product_attention: fused,
            F.multi_head_attention_forward: multi_head,
            **dict.fromkeys(SOFTMAXES, softmax),
        }
    )


def _multi_head(given: dict[str, Any], attend: Callable[..., Tensor]) -> Tensor:
    """What ``F.multi_head_attention_forward`` gives for queries, keys and values [N,B,E], without its weights."""
    unusual = ("bias_k", "bias_v", "key_padding_mask", "static_k", "static_v")
    if any(given[name] is not None for name in unusual) or given["add_zero_attn"]:
        raise CamsbenchError("attention with padding masks or added keys cannot be opened: choose another method")
    query, key, value, heads = given["query"], given["key"], given["value"], given["num_heads"]
    if given["use_separate_proj_weight"]:
        weights = [given[f"{name}_proj_weight"] for name in "qkv"]
    else:
        weights = given["in_proj_weight"].chunk(3)
    biases = (None,) * 3 if given["in_proj_bias"] is None else given["in_proj_bias"].chunk(3)
    q, k, v = (
        F.linear(x, w, b).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)  # [B,H,N,d]
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    out = attend(q, k, v, given["attn_mask"]).permute(2, 0, 1, 3).flatten(2)  # [N,B,E]
    return F.linear(out, given["out_proj_weight"], given["out_proj_bias"])


def attentions(split: Split, x: Tensor) -> list[Tensor]:
    """The probabilities [B,H,N,M] of each attention of a pass of ``x``, where gradients are on with their history."""
    found: list[Tensor] = []

    def keep(probabilities: Tensor, _: Tensor) -> Tensor:
        found.append(probabilities)
        return probabilities

    with opened(keep):
        split.plain.logits(x)  # whose last attention has all its queries
    return found


def attention_gradients(split: Split, x: Tensor, target: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Of each attention the probabilities [B,H,N,M], the scores before the softmax, and the gradient of the target's
    score at the probabilities."""
    found: list[Tensor] = []
    scores: list[Tensor] = []

    def keep(probabilities: Tensor, before: Tensor) -> Tensor:
        found.append(probabilities if probabilities.requires_grad else probabilities.requires_grad_())
        scores.append(before.detach())
        return found[-1]

    with torch.enable_grad():
        with opened(keep):
            logits = split.plain.logits(x)
        gradients = torch.autograd.grad(split.asked.score(logits, target).sum(), found, materialize_grads=True)
    return [p.detach() for p in found], scores, list(gradients)
