"""The gradient CAMs as Poppi et al.'s first harness has them (seppia978/Metrics-Evaluator, its own torchcam copy)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from camsbench.core.saliency import normalise, size_of, upsample
from camsbench.core.scoring import head_gradient
from camsbench.core.types import About, Forward, Split


@dataclass(frozen=True)
class MetricsEvaluatorGradCAM:
    """Grad-CAM as in seppia978/Metrics-Evaluator: ReLU(Σ_k mean(∂p_c/∂A_k) U(N(A_k))).

    It goes back from the softmax probability, not from the logit (Selvaraju et al. 2017, Eq. 1), and sums min-maxed
    channels, upsampled before the ReLU. Near p_c = 1 its gradient is mostly rounding.

    Returns:
        Raw map [B,H,W], at least 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    about: ClassVar[About] = About("Grad-CAM", "Selvaraju et al.", 2017, "gradient CAM")

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        gradient = head_gradient(split, forward.A, forward.target, probability=True)
        combined = (gradient.mean((2, 3), keepdim=True) * normalise(forward.A)[0]).sum(1, keepdim=True)
        return upsample(combined, size_of(forward.x)).squeeze(1).relu()
