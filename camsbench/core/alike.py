"""Scores of copies in which many tokens are alike, from one token of each kind.

Where attention knows no places, tokens that are equal get equal scores and bring equal values: c of them do what one
does whose score is raised by log c. So a copy with one cell left has two kinds of patch tokens, the cell and zeros,
however many patches there are. Exact, up to rounding.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from camsbench.core.graphs import agrees, argument, copied, is_attention, noise_like, sharing, tried
from camsbench.core.one_query import one_query
from camsbench.core.passes import at_least_single, in_micro_batches
from camsbench.core.targets import confidence_or_score
from camsbench.core.types import Forward, Split

FUSED = {"attn_mask", "dropout_p", "is_causal", "scale", "query", "key", "value"}  # what may be said by name

_known: WeakKeyDictionary[nn.Module, fx.GraphModule | None] = WeakKeyDictionary()


@torch.inference_mode()
def scores_by_kind(split: Split, forward: Forward, masks: Tensor, probability: bool) -> Tensor | None:
    """Target's score [B,N] of the activations A_n·M_n: those of cell n alone, spread by ``masks`` [N,h,w].

    None where the masks have too many values, or the head another form.
    """
    levels = masks.unique()  # [J]
    parts = (forward.A, *forward.beside)
    head = head_by_kind(split, parts) if len(levels) < masks[0].numel() / 2 else None
    if head is None:
        return None
    images, cells = len(forward.A), len(masks)
    A = forward.A.flatten(2)  # [B,K,N]
    beside = _few(parts, len(levels))
    at_once = max(1, masks[0].numel() // len(levels))  # copies that take the place of one pass
    log_counts = torch.stack([(masks == level).flatten(1).sum(1) for level in levels], 1).to(A).log()  # [N,J]

    def work(chunk: slice) -> Tensor:
        copy = torch.arange(chunk.start * at_once, min(chunk.stop * at_once, images * cells), device=A.device)
        image, cell = copy // cells, copy % cells
        tokens = A[image, :, cell][:, :, None, None] * levels[:, None]  # [m,K,J,1]
        logits = at_least_single(head(tokens, *(each[image] for each in beside), log_counts[cell]))
        target = forward.target[image]
        return confidence_or_score(split.asked, logits, target) if probability else split.asked.score(logits, target)

    scores = in_micro_batches(split.micro_batch, -(-images * cells // at_once), work)
    split.passes.tail += images * cells
    return scores.view(images, cells)


def head_by_kind(split: Split, parts: tuple[Tensor, ...]) -> fx.GraphModule | None:
    """The head of ``split`` on a token of each kind: A [B,K,J,1], what passes beside, and log counts [B,J] -> logits.

    None where attention knows places, tokens meet elsewhere too, or short cuts are off.
    """
    traced = getattr(split, "traced_head", None)
    if not split.options.short_cuts or not isinstance(traced, fx.GraphModule):
        return None
    if traced not in _known:
        _known[traced] = _made(traced, parts)
    return _known[traced]


def one_of_each(parts: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """Inputs for ``head_by_kind``: of ``parts`` of images the first ``count`` patches, each once."""
    A = parts[0].flatten(2)[:, :, :count, None]
    return (A, *_few(parts, count), A.new_zeros(len(A), count))


@torch.inference_mode(mode=False)
@torch.no_grad()
def _made(head: fx.GraphModule, parts: tuple[Tensor, ...]) -> fx.GraphModule | None:
    counted = _counted(one_query(head, parts) or head)
    if counted is None:
        return None
    with torch._C.DisableTorchFunction():
        trial = tried(head)
        quick = fx.Interpreter(sharing(trial, counted))  # a GraphModule prints what it raises
        try:
            same = all(_same(trial, quick, parts, images) for images in (1, 2, 3))
        except Exception:  # of sizes that do not fit; modules raise many kinds
            return None
    return sharing(head, counted) if same else None


def _same(trial: nn.Module, quick: fx.Interpreter, parts: tuple[Tensor, ...], images: int) -> bool:
    """Whether both give the same logits of tokens of three kinds, one of which some images lack."""
    A, *beside = noise_like(parts, images)
    generator = torch.Generator().manual_seed(images)
    tokens = torch.randn(images, A.shape[1], 3, generator=generator).to(A)
    kind = torch.randint(3, (images, A[0, 0].numel()), generator=generator)
    kind[0] %= 2
    all_of_them = tokens.gather(2, kind[:, None].expand(-1, A.shape[1], -1)).view_as(A)
    counts = F.one_hot(kind, 3).sum(1).to(A)
    given = (tokens[..., None], *_few((A, *beside), 3), counts.log())
    return agrees(quick.run(*given, enable_io_processing=False), trial(all_of_them, *beside))


def _few(parts: tuple[Tensor, ...], count: int) -> list[Tensor]:
    """What passes beside A; where that is all tokens, the first of them, as many as with ``count`` patches."""
    A, *beside = parts
    patches = A[0, 0].numel()
    return [
        each[:, : each.shape[1] - patches + count] if each.ndim == 3 and each.shape[1] >= patches else each
        for each in beside
    ]


def _counted(head: fx.GraphModule) -> fx.Graph | None:
    """The graph with an input more, log counts, which are added to the scores of each attention.

    None where it has no attention, or one with a mask of its own.
    """
    made = copied(head.graph)
    inputs = [n for n in made.nodes if n.op == "placeholder"]
    found = [n for n in made.nodes if is_attention(head, n)]
    with made.inserting_after(inputs[-1]):
        log_counts = made.placeholder("log_counts")
    for n in found:
        fused = n.op == "call_function"
        query, key = argument(n, 0, "query"), argument(n, 1, "key")
        masks = [argument(n, 3, "attn_mask"), argument(n, 5, "is_causal")] if fused else [*n.args[3:]]
        if any(masks) or len(n.args) > 3 or set(n.kwargs) - (FUSED if fused else {"need_weights"}):
            return None
        with made.inserting_before(n):
            if fused:
                mask = made.call_function(for_heads, (log_counts, key))
            else:
                module: Any = head.get_submodule(str(n.target))
                mask = made.call_function(for_each_head, (log_counts, query, key, module.num_heads, module.batch_first))
        n.kwargs = {**n.kwargs, "attn_mask": mask}
    return made if found else None


def for_heads(log_counts: Tensor, key: Tensor) -> Tensor:
    """Log counts [B,J] of the last keys [B,H,S,d], and 0 of those before them, as a mask [B,1,1,S] of the scores."""
    return F.pad(log_counts, (key.shape[-2] - log_counts.shape[1], 0))[:, None, None].to(key)


def for_each_head(log_counts: Tensor, query: Tensor, key: Tensor, heads: int, batch_first: bool) -> Tensor:
    """The same for ``nn.MultiheadAttention``: [B·H,L,S] for L queries."""
    axis = 1 if batch_first else 0
    of_keys = F.pad(log_counts, (key.shape[axis] - log_counts.shape[1], 0)).to(key)
    return of_keys.repeat_interleave(heads, 0)[:, None].expand(-1, query.shape[axis], -1)
