"""Extremal perturbation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from camsbench.core.passes import at_least_single, in_micro_batches
from camsbench.core.scoring import score_inputs
from camsbench.core.targets import Target
from camsbench.core.types import About, Forward, Split
from camsbench.errors import check_choices
from camsbench.methods._blur import gaussian_blur
from camsbench.methods._learnedmask import mask_gradient

REWARDS = ("simple", "contrastive")
COLDNESS = 20  # of the smooth maximum


@dataclass(frozen=True)
class SmoothMasks:
    """The paper's smooth masks: the smooth maximum over cells, ``step`` pixels apart, of value × bump.

    The bump is 1 within sigma/2 of the cell's place and falls off as exp(−2(d/sigma − 1/2)²). Masks reach beyond the
    image by a margin of ``sigma`` pixels, which belongs to the area that is constrained.
    """

    size: tuple[int, int]  # of the image
    step: int
    sigma: float

    @property
    def cells(self) -> tuple[int, int]:
        """Shape of the parameters."""
        return math.ceil(self.size[0] / self.step), math.ceil(self.size[1] / self.step)

    def __call__(self, parameters: Tensor) -> Tensor:
        """Masks with their margin [m,H',W'] of ``parameters`` [m,1,h,w]."""
        padding, taps = 1 + math.ceil(2 * self.sigma / self.step), 2 * (1 + math.ceil(self.sigma / self.step)) + 1
        near = F.unfold(parameters, taps, padding=padding)  # [m,taps²,positions]
        height, width = (side + 2 * padding - taps + 1 for side in parameters.shape[2:])
        values = near.unflatten(2, (height, 1, width, 1)) * self._bumps(padding, taps, parameters)
        values = values.flatten(4, 5).flatten(2, 3)  # [m,taps²,height·step,width·step]
        values = values[..., : 1 - self.step or None, : 1 - self.step or None]
        return (values * (COLDNESS * values).softmax(1)).sum(1).clamp(0, 1)

    def crop(self, masks: Tensor) -> Tensor:
        """Masks on the image, [m,1,H,W]."""
        margin = round(self.sigma)
        return masks[:, None, margin : margin + self.size[0], margin : margin + self.size[1]]

    def _bumps(self, padding: int, taps: int, like: Tensor) -> Tensor:
        """The bump of each neighbouring cell at each of step×step pixels, [taps²,1,step,1,step]."""
        pixel = torch.arange(self.step, device=like.device, dtype=like.dtype)
        cell = self.sigma + self.step * (torch.arange(taps, device=like.device, dtype=like.dtype) - padding)
        square = (pixel - cell[:, None]) ** 2  # [taps,step]
        distance = (square[:, None, :, None] + square[None, :, None]).sqrt()  # [taps,taps,step,step]
        bump = torch.exp(-2 * (distance / self.sigma - 0.5).clamp(min=0) ** 2)
        return bump.view(taps**2, 1, self.step, 1, self.step)


def blend(pyramid: Tensor, mask: Tensor) -> Tensor:
    """Images [m,3,H,W] whose pixel lies at level (L−1)·mask of ``pyramid`` [m,L,3,H,W], linearly between levels."""
    place = mask[:, None] * (pyramid.shape[1] - 1)  # [m,1,1,H,W]
    below = place.detach().floor()
    level = below.long().expand(-1, -1, pyramid.shape[2], -1, -1)
    lower, upper = (pyramid.gather(1, at.clamp(max=pyramid.shape[1] - 1)) for at in (level, level + 1))
    part = place - below
    return ((1 - part) * lower + part * upper).squeeze(1)


@dataclass(frozen=True)
class ExtremalPerturbation:
    """Extremal perturbation (Fong et al. 2019): which mask of a given area keeps most of the class.

    As the authors' TorchRay: each image's mask maximises reward − w_t·mean((sorted(mask) − ideal)²), w_t =
    weight·growth^t, by SGD from all ones, on a pyramid of blurs (zeros outside the image), mirrored at every other
    step; the map is the mask of the last but one update. TorchRay evaluates that mask once more, for its log only. An
    image whose class score is not changed by the strongest blur has no such region: its map is 0.

    Two implementations agree to rounding only where they sort equal values of the mask in one order, and the first
    masks have many: here by place, as every stable sort does. TorchRay's sort is not stable: beside it maps differ by
    0.01 to 0.1 after 40 steps, in double precision too; with its sort made stable, by 1e-9 after 20. Rounding grows
    besides, up to tenfold a step, where the objective has kinks (levels of the pyramid, the order of the mask's
    values): in single precision it is a few steps that agree.

    Args:
        area: part of the image that is kept.
        steps: masks that are visited; a forward and a backward pass each, less one.
        step: distance of the mask's cells, in pixels.
        sigma: width of a cell's bump, in pixels.
        blur: standard deviation of the strongest blur, in pixels.
        levels: blurs from that one down to none.
        rate: SGD's learning rate.
        momentum: SGD's momentum, and its dampening.
        weight: of the area constraint, at first.
        growth: of that weight, a step.
        reward: ``simple`` (logit of the target) or ``contrastive`` (less the largest other logit).

    Returns:
        Raw map [B,H,W], in [0,1].
    """

    area: float = 0.1
    steps: int = 800
    step: int = 7
    sigma: float = 21.0
    blur: float = 20.0
    levels: int = 8
    rate: float = 0.01
    momentum: float = 0.9
    weight: float = 300.0
    growth: float = 1.0035
    reward: str = "simple"
    about: ClassVar[About] = About("Extremal perturbation", "Fong et al.", 2019, "learned mask")

    def __post_init__(self) -> None:
        if not 0 < self.area < 1:
            raise ValueError(f"area={self.area}: it must lie between 0 and 1")
        if self.steps < 2 or self.step < 1 or self.levels < 2:
            raise ValueError(
                f"steps={self.steps}, step={self.step}, levels={self.levels}: "
                "steps and levels must be at least 2, step at least 1"
            )
        if min(self.sigma, self.blur, self.rate) <= 0 or not 0 <= self.momentum < 1:
            raise ValueError(
                f"sigma={self.sigma}, blur={self.blur}, rate={self.rate}, momentum={self.momentum}: "
                "the first three must be above 0, momentum from 0 up to below 1"
            )
        check_choices(self, reward=REWARDS)

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({"gradient", "classes"} if self.reward == "contrastive" else {"gradient"})

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        x, target = forward.x, forward.target
        sigmas = [self.blur * (1 - level / (self.levels - 1)) for level in range(self.levels)]
        pyramid = torch.stack([gaussian_blur(x, sigma, inside=False) for sigma in sigmas], dim=1)  # [B,L,3,H,W]
        masks = SmoothMasks((x.shape[2], x.shape[3]), self.step, self.sigma)
        parameters = torch.ones(len(x), 1, *masks.cells, device=x.device, dtype=x.dtype)
        sgd = torch.optim.SGD([parameters], lr=self.rate, momentum=self.momentum, dampening=self.momentum)
        for t in range(self.steps - 1):

            def loss(values: Tensor, chunk: slice, t: int = t) -> Tensor:
                mask = masks(values)
                image = blend(pyramid[chunk], masks.crop(mask))
                logits = at_least_single(split.logits(image.flip(3) if t % 2 == 0 else image))
                return self.weight * self.growth**t * self._excess(mask) - self._reward(
                    split.asked, logits, target[chunk]
                )

            parameters.grad = mask_gradient(split, parameters, loss)
            sgd.step()
            parameters.clamp_(0, 1)
        found = in_micro_batches(split.micro_batch, len(x), lambda chunk: masks.crop(masks(parameters[chunk])))
        blurred = score_inputs(split, lambda image, _: pyramid[image, 0], 1, target).squeeze(1)
        return torch.where((blurred == forward.probability)[:, None, None], 0, found.squeeze(1))

    def _excess(self, mask: Tensor) -> Tensor:
        """Mean squared distance [m] of the sorted mask from one that is 1 on ``area`` of it and 0 elsewhere."""
        ordered = mask.flatten(1).sort(dim=1, stable=True).values
        ideal = torch.ones(ordered.shape[1], device=mask.device)
        ideal[: int(len(ideal) * (1 - self.area))] = 0
        return (ordered - ideal).square().mean(1)

    def _reward(self, asked: Target, logits: Tensor, target: Tensor) -> Tensor:
        score = asked.score(logits, target)
        if self.reward == "simple":
            return score
        return score - logits.scatter(1, target[:, None], -math.inf).amax(1)
