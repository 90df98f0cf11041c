"""Relative stability: how far a map moves for how far the input, the output or the activations move."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.types import Forward
from camsbench.errors import check_choices
from camsbench.metrics.sensitivity import check_nudges, nudges

CHANGES = ("elementwise", "norm")


@dataclass(frozen=True)
class RelativeStability:
    """Relative input, output and representation stability (Agarwal et al. 2022): ``ris``, ``ros`` and ``rrs``.

    The maximum over noisy copies x′ that the network puts into the same class of the change of the saliency over the
    change of the input x, of the logits h, or of the target layer's activations. With ``change=elementwise``, as the
    paper prints it: ‖(e − e′)/e‖ / max(‖(x − x′)/x‖, ε), the quotients value by value, and for the logits
    ‖h − h′‖ alone. Where a value is exactly 0 it is divided by ε, as Quantus does; a saliency has such pixels, at least
    its lowest one, so that the numbers are of the size of 1/ε. With ``change=norm``, as the authors' OpenXAI calculates
    all three, and without ε: (‖e − e′‖/‖e‖) / (‖x − x′‖/‖x‖).

    NaN where no copy keeps the class, and for a saliency of zeros. Quantus gives NaN as soon as one copy loses the
    class, and draws noise from U(0.02, 0.2); OpenXAI from N(0, 1e-5). Copies are those of ``max_sensitivity``, from
    another stream; a method that draws random numbers draws others for each.

    Args:
        n: noisy copies an image, each explained anew.
        radius: largest change of an input value, in the network's normalised input space.
        change: ``elementwise`` or ``norm``.
        epsilon: ε of ``elementwise``.
    """

    n: int = 10
    radius: float = 0.02
    change: str = "elementwise"
    epsilon: float = 1e-6
    columns: ClassVar[tuple[Column, ...]] = (
        Column("ris", "lower", title="RIS"),
        Column("ros", "lower", title="ROS"),
        Column("rrs", "lower", title="RRS"),
    )

    def __post_init__(self) -> None:
        check_nudges(self.n, self.radius)
        check_choices(self, change=CHANGES)
        if not self.epsilon > 0:
            raise ValueError(f"epsilon is {self.epsilon}: it must be above 0")

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        split, forward, saliency = explained.split, explained.forward, explained.saliency
        own = split.asked.predict(forward.logits)
        most = {
            name: saliency.new_full((len(saliency),), -torch.inf, dtype=torch.float64) for name in ("ris", "ros", "rrs")
        }
        for noisy, again in nudges(explained, "relative_stability", self.n, self.radius):
            moved, same = self._relative(saliency, again), split.asked.predict(noisy.logits) == own
            for name, change in self._changes(forward, noisy).items():
                if self.change == "elementwise":
                    change = change.clamp(min=self.epsilon)
                counts = same & (change > 0)  # where NaN is not
                most[name] = torch.where(counts, most[name].maximum(moved / change), most[name])
        defined = saliency.flatten(1).any(1)
        return {
            name: torch.where(defined & (value > -torch.inf), value, torch.nan).to(forward.probability)
            for name, value in most.items()
        }

    def _changes(self, forward: Forward, noisy: Forward) -> dict[str, Tensor]:
        """How far the input, the logits and the activations moved, each [B]."""
        outputs = (noisy.logits.double() - forward.logits.double()).flatten(1).norm(dim=1)
        return {
            "ris": self._relative(forward.x, noisy.x),
            "ros": outputs if self.change == "elementwise" else self._relative(forward.logits, noisy.logits),
            "rrs": self._relative(forward.A, noisy.A),
        }

    def _relative(self, before: Tensor, after: Tensor) -> Tensor:
        """The norm [B] of the relative change of tensors [B,...], in double precision."""
        before, after = before.double().flatten(1), after.double().flatten(1)
        if self.change == "norm":
            return (before - after).norm(dim=1) / before.norm(dim=1)
        return ((before - after) / torch.where(before == 0, self.epsilon, before)).norm(dim=1)
