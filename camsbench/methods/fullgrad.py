"""FullGrad."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.passes import in_micro_batches
from camsbench.core.saliency import normalise, upsample
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods._applies import refuse_attention
from camsbench.methods._rules import CURVED, RECTIFIERS, Function, Rules

RESCALES = ("layer", "channel")


@dataclass
class Biases:
    """The outputs of a pass whose functions have a bias, and those biases, broadcastable to them.

    A layer's bias is what it adds: a convolution's or linear layer's own, a BatchNorm's b − μw/√(σ²+ε), and
    η(z) − z·η'(z) for an activation η that is not linear piece by piece through 0, such as ReLU6.
    """

    outputs: list[Tensor] = field(default_factory=list)
    biases: list[Tensor] = field(default_factory=list)

    def rules(self) -> Rules:
        """A function mode that notes each biased output of the pass."""
        layers: dict[Function, Function] = {F.conv2d: self._weighted, F.linear: self._weighted}
        curved = dict.fromkeys((CURVED | RECTIFIERS) - {F.relu, torch.relu, Tensor.relu, F.leaky_relu}, self._curved)
        return Rules({**layers, F.batch_norm: self._batch_norm, **curved})

    def _note(self, out: Tensor, bias: Tensor) -> Tensor:
        self.outputs.append(out)
        self.biases.append(bias)
        return out.clone()  # an in-place activation behind it must not overwrite what is differentiated

    def _weighted(
        self, function: Function, x: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        out = function(x, weight, bias, *args, **kwargs)
        return out if bias is None else self._note(out, bias.detach().view(1, -1, *[1] * (out.ndim - 2)))

    def _batch_norm(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with torch.no_grad():
            bias = function(torch.zeros_like(x[:1, :, :1, :1]), *args, **kwargs)
        return self._note(function(x, *args, **kwargs), bias)

    def _curved(self, function: Function, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        z = x.detach().requires_grad_()
        out = function(z, *args, **kwargs)
        slope = torch.autograd.grad(out.sum(), z)[0]
        return self._note(function(x, *args, **kwargs), (out - slope * z).detach())


def full_gradient(split: Split, x: Tensor, target: Tensor) -> list[Tensor]:
    """x ⊙ ∂y_c/∂x [B,3,H,W], then b ⊙ ∂y_c/∂out of each biased layer, [B,K,h,w] or [B,K] (Proposition 1).

    Where only convolutions, linear layers, BatchNorms, activations, pooling and sums make the network, they all add
    up to the target's logit.
    """
    biases = Biases()
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        with biases.rules():
            logits = split.logits(leaf)
        if not logits.requires_grad:
            return [torch.zeros_like(x)]
        score = split.asked.score(logits, target).sum()
        gradients = torch.autograd.grad(score, [leaf, *biases.outputs], materialize_grads=True)
    return [factor * gradient for factor, gradient in zip([x, *biases.biases], gradients, strict=True)]


@dataclass(frozen=True)
class FullGrad:
    """FullGrad (Srinivas and Fleuret 2019, Eq. 7): ψ(x ⊙ ∂y_c/∂x) + Σ_l Σ_k ψ(b_lk ∂y_c/∂out_lk).

    ψ takes the magnitude, min-maxes it and upsamples it bilinearly. l runs over the convolutions with a bias, the
    BatchNorms with their implicit bias b − μw/√(σ²+ε) and, unlike in the authors' code, the activations with an
    implicit bias such as ReLU6, without which the full gradients do not add up to the logit. Linear layers have no
    place in the image and are left out. The authors' code and grad-cam add 1e-6 and 1e-7 to the range of ψ, which
    quiets layers with small gradients; nothing is added here. The authors upsample with align_corners.

    Args:
        rescale: ``layer`` min-maxes a layer's channels together, as the authors' code does; ``channel`` each on its
            own, as grad-cam does.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    rescale: str = "layer"
    needs: ClassVar[frozenset[str]] = frozenset({"gradient", "modules"})
    about: ClassVar[About] = About("FullGrad", "Srinivas and Fleuret", 2019, "backpropagation")

    def __post_init__(self) -> None:
        check_choices(self, rescale=RESCALES)

    def check(self, split: Split) -> None:
        refuse_attention(split, "which has no bias: the full gradients would not add up; use method=gradcam")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        size = (forward.x.shape[2], forward.x.shape[3])

        def work(chunk: slice) -> Tensor:
            terms = full_gradient(split, forward.x[chunk], forward.target[chunk])
            return torch.stack([upsample(self._psi(term), size) for term in terms if term.ndim == 4]).sum(0).squeeze(1)

        return in_micro_batches(split.micro_batch, len(forward.x), work)

    def _psi(self, term: Tensor) -> Tensor:
        """The sum over the channels of ψ [B,1,h,w], not upsampled yet: upsampling is linear."""
        magnitude = term.abs()
        if self.rescale == "channel":
            return normalise(magnitude)[0].sum(1, keepdim=True)
        return normalise(magnitude.flatten(1, 2)[:, None])[0].view_as(magnitude).sum(1, keepdim=True)
