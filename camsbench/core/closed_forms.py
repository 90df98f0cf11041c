"""Scores of perturbed activations without passes of the head, where its form allows it (``camsbench.core.heads``).

Exact, up to rounding: no approximation is made. Each function gives None where it does not apply, and under
without the split's short cuts; the caller then passes every copy.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.alike import scores_by_kind
from camsbench.core.heads import LinearHead, linear_head
from camsbench.core.passes import at_least_single, in_micro_batches
from camsbench.core.targets import Target, confidence_or_score
from camsbench.core.types import Forward, Split


def class_weight(split: Split, A: Tensor, target: Tensor) -> Tensor | None:
    """w_k^c [B,K,1,1] of ``target`` [B] in a head y_c = b_c + Σ_k w_k^c mean(A_k) of activations ``A`` [B,K,h,w]."""
    head = linear_head(split)
    if head is None or head.rest is not None or not head.signed or not split.asked.is_logit:
        return None
    height, width = A.shape[2:]
    share = _shares(head, torch.eye(height * width).view(-1, height, width))
    if share.shape[1] > 1 or not torch.allclose(share, torch.full_like(share, 1 / (height * width))):
        return None
    return head.linear.weight.detach()[target][:, :, None, None]


@torch.inference_mode()
def cell_scores(split: Split, forward: Forward, masks: Tensor, probability: bool) -> Tensor | None:
    """Target's score [B,N] of the activations A_n·M_n: those of cell n alone, spread by ``masks`` [N,h,w] ≥ 0.

    The head's first layer is linear in A_n: with W places behind the pooling it is Σ_w pool(M_n)_w (W_w A_n) + b, so
    that a cell costs the few slices W_w that its mask reaches instead of the whole layer; the layers behind it run for
    every cell. For an average pool and a linear layer that is a 1×1 convolution of the classifier.

    Behind attention a cell costs a token of each of its mask's values instead of all (``camsbench.core.alike``).
    """
    head = linear_head(split)
    if head is None:
        return scores_by_kind(split, forward, masks, probability)
    A = forward.A.relu() if head.rectified else forward.A
    share = _shares(head, masks)  # [N,W]
    if share.shape[1] > 1 and not split.options.repack:
        return None
    if not (head.signed or head.rectified) and (A < 0).any():
        return None

    def work(chunk: slice) -> Tensor:
        cells, target = A[chunk].flatten(2).transpose(1, 2), forward.target[chunk]  # [m,N,K]
        if head.rest is None and not probability and share.shape[1] == 1 and split.asked.is_logit:
            linear = head.linear
            only = torch.einsum("mnk,mk->mn", cells, linear.weight[target]) * share[:, 0].to(cells)
            return only if linear.bias is None else only + linear.bias[target, None]
        first = _first_layer(head, cells, share)
        if head.rest is not None:
            split.passes.tail += first.shape[0] * first.shape[1]
        return _target_scores(head, first, target, split.asked, probability)

    return in_micro_batches(split.micro_batch, len(A), work)


@torch.inference_mode()
def channel_drops(split: Split, forward: Forward, keep: Tensor) -> Tensor | None:
    """What the target's logit loses [B,K] with channel k set to 0, for the channels in ``keep`` [B,K]; 0 for others.

    Channel k reaches the head's first linear layer by the W inputs of its pooling alone: that layer's output without k
    is the full one less their share. Where it gives the logits, the loss is w_k·pool(A_k).
    """
    head = linear_head(split)
    if head is None or not split.asked.is_logit:
        return None

    def work(chunk: slice) -> Tensor:
        pooled, target, alive = head.pooled(forward.A[chunk]), forward.target[chunk], keep[chunk]  # [m,K,W]
        weight = head.weight(pooled.shape[1])  # [O,K,W]
        if head.rest is None:
            return torch.where(alive, (weight[target] * pooled).sum(2), 0)
        share = torch.bmm(pooled.transpose(0, 1), weight.permute(1, 2, 0)).transpose(0, 1)  # [m,K,O]
        image, channel = alive.nonzero(as_tuple=True)
        without = head.linear(pooled.flatten(1))[image] - share[image, channel]  # [n,O]
        drops = torch.zeros_like(pooled[:, :, 0])
        if len(image):
            split.passes.tail += len(image)
            drops[image, channel] = forward.score[chunk][image] - split.asked.score(head.rest(without), target[image])
        return drops

    return in_micro_batches(split.micro_batch, len(forward.A), work)


def _shares(head: LinearHead, masks: Tensor) -> Tensor:
    """What of each mask [N,h,w] reaches each place [N,W], on the host: the pooling has no weights."""
    return head.pooled(masks.cpu()[None])[0]


def _first_layer(head: LinearHead, cells: Tensor, share: Tensor) -> Tensor:
    """Outputs [m,N,O] of the first linear layer for each cell [m,N,K], which reaches place w by ``share`` [N,W]."""
    images, count, channels = cells.shape
    if share.shape[1] == 1:
        return F.linear(cells * share.to(cells), head.linear.weight, head.linear.bias)
    most = int((share > 0).sum(0).max())
    factor, index = (t.to(cells.device) for t in share.T.topk(most))  # [W,most]: the cells that reach each place
    slices = head.slices(channels)  # [W,O,K]
    reaching = cells[:, index] * factor[None, :, :, None]  # [m,W,most,K]
    out = torch.bmm(reaching.transpose(0, 1).reshape(len(slices), -1, channels), slices.transpose(1, 2))
    out = out.view(len(slices), images, most, -1).transpose(0, 1).flatten(1, 2)  # [m,W·most,O]
    start = out.new_zeros(1) if head.linear.bias is None else head.linear.bias
    return start.expand(images, count, out.shape[2]).clone().index_add_(1, index.flatten(), out)


def _target_scores(head: LinearHead, first: Tensor, target: Tensor, asked: Target, probability: bool) -> Tensor:
    """What is asked [m,N] of the first layer's outputs [m,N,O]: its confidence, or its score."""
    rest: Callable[[Tensor], Tensor] | None = head.rest
    flat = first.flatten(0, 1)
    logits = at_least_single(flat if rest is None else rest(flat))
    index = target.repeat_interleave(first.shape[1])
    scores = confidence_or_score(asked, logits, index) if probability else asked.score(logits, index)
    return scores.view(first.shape[:2])
