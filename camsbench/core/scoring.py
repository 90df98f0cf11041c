"""Scoring perturbed copies: every pass of every method and metric runs here.

A method or a metric asks for the class score of many perturbed copies of each image of a batch. It says how to make
copy ``n`` of image ``i``; this module packs copies of all images of the batch into full micro-batches, makes them on
the device just before they are scored, and scores them. So memory does not grow with the number of copies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from camsbench.core.closed_forms import class_weight
from camsbench.core.passes import at_least_single, in_micro_batches
from camsbench.core.targets import confidence_or_score
from camsbench.core.types import Forward, Split

Perturb = Callable[[Tensor, Tensor], Tensor]
"""``(image[m], copy[m]) -> [m,...]``: copy ``copy[j]`` of image ``image[j]`` of the batch, for j < m."""


def forward(split: Split, x: Tensor, target: Tensor | None, seeds: tuple[int, ...]) -> Forward:
    """One pass for a batch: activations, logits, and the predicted class where ``target`` [B] is None."""
    x = x.contiguous(memory_format=split.memory_format)  # perturbed copies take it over
    with torch.no_grad():  # not inference mode: a gradient through the head may follow
        A, *beside = split.micro_batch.run_each(len(x), lambda chunk: split.parts(x[chunk]))
        parts = (A, *beside)
        logits = in_micro_batches(split.micro_batch, len(x), lambda chunk: split.head(*(t[chunk] for t in parts)))
    chosen = split.asked.predict(logits) if target is None else target
    return Forward(x, A, logits, chosen, seeds, asked=split.asked, beside=tuple(beside))


def score_inputs(
    split: Split,
    perturb: Perturb,
    copies: int,
    target: Tensor,
    keep: Tensor | None = None,
    probability: bool = True,
) -> Tensor:
    """Softmax probability (or logit) of ``target`` [B] for ``copies`` copies [3,H,W] of each image: [B,copies].

    ``keep`` [B,copies] says which copies to score; the others get 0, and with short cuts they cost no pass.
    """
    network = split.for_copies
    return _score(split, lambda image, copy: network.logits(perturb(image, copy)), copies, target, keep, probability)


def score_features(
    split: Split,
    forward: Forward,
    perturb: Perturb,
    copies: int,
    probability: bool = True,
    keep: Tensor | None = None,
) -> Tensor:
    """Probability (or logit) of the target for ``copies`` perturbed activations [K,h,w] of each image: [B,copies].

    What passes beside the activations stays the image's own. ``keep`` as in ``score_inputs``.
    """
    network = split.for_copies

    def logits(image: Tensor, copy: Tensor) -> Tensor:
        return network.head(perturb(image, copy), *forward.beside_of(image))

    return _score(split, logits, copies, forward.target, keep, probability)


@torch.inference_mode()
def _score(
    split: Split,
    logits_of: Perturb,
    copies: int,
    target: Tensor,
    keep: Tensor | None,
    probability: bool,
) -> Tensor:
    if keep is None or not split.options.short_cuts:
        index = torch.arange(len(target) * copies, device=target.device)
    else:
        index = keep.flatten().nonzero().squeeze(1)
    image, copy = index // copies, index % copies

    ask = partial(confidence_or_score, split.asked) if probability else split.asked.score

    def work(chunk: slice) -> Tensor:
        logits = at_least_single(logits_of(image[chunk], copy[chunk]))
        return ask(logits, target[image[chunk]])

    if not len(index):
        return torch.zeros(len(target), copies, device=target.device)
    scored = in_micro_batches(split.micro_batch, len(index), work)  # of the network's own precision, single at least
    scores = scored.new_zeros(len(target) * copies)
    scores[index] = scored
    scores = scores.view(len(target), copies)
    return scores if keep is None else torch.where(keep, scores, 0)


def head_gradient(split: Split, forward: Forward, probability: bool = False) -> Tensor:
    """∂y_c/∂A [B,K,h,w]: the gradient of the target's logit (or of its softmax) with respect to the activations alone.

    Behind an average over the map and a linear layer the logit's gradient is w_k^c/(hw) in every cell, without a pass.
    """
    ask = partial(confidence_or_score, split.asked) if probability else split.asked.score
    A, target = forward.A, forward.target
    weight = None if probability else class_weight(split, A, target)
    if weight is not None:
        return (weight / (A.shape[2] * A.shape[3])).expand_as(A)

    def work(chunk: slice) -> Tensor:
        with torch.enable_grad():
            leaf = A[chunk].detach().requires_grad_()
            logits = split.head(leaf, *forward.beside_of(chunk))
            score = ask(logits, target[chunk]).sum()
            return torch.autograd.grad(score, leaf)[0]

    return in_micro_batches(split.micro_batch, len(A), work)
