"""The one micro-batch loop: every pass of every method and metric runs here.

A method or a metric asks for the class score of many perturbed copies of each image of a batch. It says how to make
copy ``n`` of image ``i``; this module packs copies of all images of the batch into full micro-batches, makes them on
the device just before they are scored, and scores them. So memory does not grow with the number of copies.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from camsbench.errors import CamsbenchError
from camsbench.types import Forward, Split

log = logging.getLogger(__name__)

Perturb = Callable[[Tensor, Tensor], Tensor]
"""``(image[m], copy[m]) -> [m,...]``: copy ``copy[j]`` of image ``image[j]`` of the batch, for j < m."""

AUTO_SIZE = {"cpu": 16, "cuda": 256}  # 16 fits a CPU's caches (measured); a GPU backs off from 256 when it must


@dataclass
class MicroBatch:
    """How many copies are scored at once; halves itself, for good, when memory runs out."""

    size: int

    @classmethod
    def of(cls, size: int | str, device: torch.device) -> MicroBatch:
        """From ``runtime.micro_batch``: a number, or ``auto``."""
        if size == "auto":
            return cls(AUTO_SIZE.get(device.type, 64))
        if not isinstance(size, int) or size < 1:
            raise CamsbenchError(f"runtime.micro_batch={size}: give a number from 1 up, or auto")
        return cls(size)

    def halve(self) -> None:
        """Half the size.

        Raises:
            CamsbenchError: at size 1, when not even one copy fits.
        """
        if self.size == 1:
            raise CamsbenchError("memory ran out at runtime.micro_batch=1: use a smaller network or another device")
        self.size //= 2
        log.warning("memory ran out: going on with micro-batches of %d", self.size)


def in_micro_batches(budget: MicroBatch, count: int, work: Callable[[slice], Tensor]) -> Tensor:
    """``work`` over consecutive slices of ``range(count)``, its results [m,...] joined along the first axis."""
    done, parts = 0, []
    while done < count:
        chunk = slice(done, min(done + budget.size, count))
        try:
            parts.append(work(chunk))
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
        else:
            done = chunk.stop
            continue
        budget.halve()  # outside the except block, whose traceback holds the failed chunk's tensors
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def forward(split: Split, x: Tensor, target: Tensor | None, seeds: tuple[int, ...]) -> Forward:
    """One pass for a batch: activations, logits, and the predicted class where ``target`` [B] is None."""
    with torch.no_grad():  # not inference mode: a gradient through the head may follow
        A = in_micro_batches(split.micro_batch, len(x), lambda chunk: split.features(x[chunk]))
        logits = in_micro_batches(split.micro_batch, len(x), lambda chunk: split.head(A[chunk]))
    return Forward(x, A, logits, logits.argmax(1) if target is None else target, seeds)


def score_inputs(split: Split, perturb: Perturb, copies: int, target: Tensor, keep: Tensor | None = None) -> Tensor:
    """Softmax probability of ``target`` [B] for ``copies`` perturbed copies [3,H,W] of each image: [B,copies].

    ``keep`` [B,copies] says which copies to score; the others get 0 and cost no pass.
    """
    return _score(split.logits, split.micro_batch, perturb, copies, target, keep, probability=True)


def score_features(split: Split, perturb: Perturb, copies: int, target: Tensor, probability: bool = True) -> Tensor:
    """Probability (or logit) of ``target`` [B] for ``copies`` perturbed activations [K,h,w] an image: [B,copies]."""
    return _score(split.head, split.micro_batch, perturb, copies, target, None, probability)


@torch.inference_mode()
def _score(
    network: Callable[[Tensor], Tensor],
    budget: MicroBatch,
    perturb: Perturb,
    copies: int,
    target: Tensor,
    keep: Tensor | None,
    probability: bool,
) -> Tensor:
    if keep is None:
        index = torch.arange(len(target) * copies, device=target.device)
    else:
        index = keep.flatten().nonzero().squeeze(1)
    image, copy = index // copies, index % copies

    def work(chunk: slice) -> Tensor:
        logits = network(perturb(image[chunk], copy[chunk])).float()
        values = logits.softmax(1) if probability else logits
        return values.gather(1, target[image[chunk], None]).squeeze(1)

    scores = torch.zeros(len(target) * copies, device=target.device)
    if len(index):
        scores[index] = in_micro_batches(budget, len(index), work)
    return scores.view(len(target), copies)


def head_gradient(split: Split, A: Tensor, target: Tensor) -> Tensor:
    """∂y_c/∂A [B,K,h,w]: the gradient of the target's logit (before softmax) with respect to the activations."""

    def work(chunk: slice) -> Tensor:
        with torch.enable_grad():
            leaf = A[chunk].detach().requires_grad_()
            score = split.head(leaf).gather(1, target[chunk, None]).sum()
            return torch.autograd.grad(score, leaf)[0]

    return in_micro_batches(split.micro_batch, len(A), work)


def _out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
