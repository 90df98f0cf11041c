"""Metrics against the packages that have them: the same maps, images, classes and steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import quantus
import torch
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget
from torch import Tensor
from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric

import camsbench
from benching.elsewhere import as_it_comes
from benching.methods import DEFAULT
from benching.peers import GivenMap
from benching.subjects import BACKENDS, Bench, network, on, pictures, targets
from benching.timing import Contender, Row, Work, measure
from camsbench.core import scoring
from camsbench.core.explained import explain
from camsbench.core.explained import measure as measured
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Forward, Split
from camsbench.metrics.curves import Deletion, Insertion
from camsbench.metrics.drop import Drop, Increase
from camsbench.metrics.sparseness import Entropy, Sparseness

SOFTMAX = partial(torch.softmax, dim=-1)


@dataclass(frozen=True)
class Given:
    """Maps [B,H,W] in [0,1] that are there already: only the metric works."""

    maps: Tensor
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, split: Split, forward: Forward) -> Tensor:
        return self.maps


def given(n: int) -> Tensor:
    """ReciproCAM's saliencies [n,H,W], plus a slope of 1e-3 down the raster: packages break ties differently."""
    saliency = camsbench.explain("reciprocam", network(), pictures(n), targets(n))[:, 0]
    sloped = saliency + torch.linspace(1e-3, 0, saliency[0].numel()).view_as(saliency[0])
    low, high = sloped.amin((1, 2), keepdim=True), sloped.amax((1, 2), keepdim=True)
    return (sloped - low) / (high - low)


def ours(metrics: list[Any], backend: str, n: int, maps: Tensor, twin: str | None = None) -> Contender:
    """camsbench's metrics of given maps, with the base pass that peers make too: values [B,metrics]."""

    def work() -> Tensor:
        return values(metrics, backend, base(backend, n), maps)

    return Contender(f"camsbench, {backend}", work, on(backend), twin)


def base(backend: str, n: int) -> Forward:
    """The base pass of the first ``n`` images."""
    x = pictures(n).contiguous(memory_format=on(backend).memory_format)
    return scoring.forward(on(backend), x, torch.tensor(targets(n)), (0,) * n)


def values(metrics: list[Any], backend: str, forward: Forward, maps: Tensor) -> Tensor:
    """Values [B,metrics] of given maps."""
    columns, _ = measured(metrics, explain(on(backend), Given(maps), SaliencyRule("normalise_then_upsample"), forward))
    return torch.stack(list(columns.values()), 1)


def curves(bench: Bench) -> list[Row]:
    """Insertion and deletion from and to zeros, against torchcam; deletion against Quantus' PixelFlipping."""
    n, steps, thirds = (1, 4, 2) if bench.smoke else (4, 28, 8)
    maps = given(n)
    first = "camsbench, torch"

    def mean() -> Tensor:
        return ours([Deletion(steps), Insertion(steps)], "torch", n, maps).work().mean(0, keepdim=True)

    def at_thirds() -> Tensor:
        subject = explain(network(), Given(maps), SaliencyRule(), base("torch", n))
        return Deletion(thirds)(subject)["deletion_curve"][:, 1:]

    both = [ours([Deletion(steps), Insertion(steps)], b, n, maps, first) for b in BACKENDS]
    one = [ours([Deletion(3 * thirds)], b, n, maps, first) for b in BACKENDS]
    with (
        as_it_comes("metrics.torchcam_curves", n, steps) as torchcam,
        as_it_comes("metrics.quantus_flipping", n, thirds) as quantus,
    ):
        both += [
            Contender("torchcam", torchcam_curves(n, steps), network(), mean),
            Contender("torchcam, as it comes", lambda: None, seconds=torchcam, note=DEFAULT),
        ]
        note = "difference: of the curves"
        one += [
            Contender("quantus, PixelFlipping", quantus_flipping(n, thirds), network(), at_thirds, note=note),
            Contender("quantus, PixelFlipping, as it comes", lambda: None, seconds=quantus, note=DEFAULT),
        ]
        return [
            *measure("curves", f"insertion + deletion, {steps} steps", n, both, bench.times(15), bench.budget * 0.6),
            *measure("curves", f"deletion, {3 * thirds} steps", n, one, bench.times(15), bench.budget * 0.4),
        ]


def torchcam_curves(n: int, steps: int) -> Work:
    """torchcam's deletion and insertion of given maps, the means of both [1,2]."""
    maps, x, target = given(n), pictures(n), targets(n)

    def work() -> Tensor:
        peer = DeletionInsertionMetric(GivenMap(network().model, maps), SOFTMAX, steps=steps)
        with torch.no_grad():
            peer.update(x, target)
        return torch.tensor([list(peer.summary().values())])

    return work


def quantus_flipping(n: int, thirds: int) -> Work:
    """Quantus' PixelFlipping of given maps: curves [n,thirds] at the steps that end whole pixels."""
    maps, x, target = given(n), pictures(n), targets(n)

    def work() -> Tensor:
        peer = quantus.PixelFlipping(224 * 224 // thirds, perturb_baseline=0.0, normalise=False, disable_warnings=True)
        with torch.no_grad():
            found = peer(network().model, x.numpy(), np.array(target), maps[:, None].numpy(), softmax=True)
        return torch.tensor(np.asarray(found))[:, 2::3]  # it takes colours one by one: here whole pixels are gone

    return work


def metrics(bench: Bench) -> list[Row]:
    """Metrics of a pass or none."""
    n = 2 if bench.smoke else 16
    maps, x, target, model = given(n), pictures(n), targets(n), network().model
    wanted = [ClassifierOutputSoftmaxTarget(c) for c in target]
    first = "camsbench, torch"

    def torchcam() -> Tensor:
        peer = ClassificationMetric(GivenMap(model, maps), SOFTMAX)
        with torch.no_grad():
            peer.update(x, target)
        return torch.tensor([list(peer.summary().values())])

    def grad_cam() -> Tensor:
        with torch.no_grad():
            found = [peer(x, maps.numpy(), wanted, model) for peer in (DropInConfidence(), IncreaseInConfidence())]
        return torch.stack([torch.as_tensor(np.asarray(f, dtype=np.float64)) for f in found], 1)

    def by_quantus(kind: Any) -> Tensor:
        peer = kind(disable_warnings=True, normalise=False)
        return torch.tensor(np.asarray(peer(model, x.numpy(), np.array(target), maps[:, None].numpy())))[:, None]

    def mean() -> Tensor:
        return ours([Drop(), Increase()], "torch", n, maps).work().mean(0, keepdim=True)

    forward = base("torch", n)  # peers make none for the metrics of the map alone
    drop = [ours([Drop(), Increase()], backend, n, maps, first) for backend in BACKENDS]
    absolute = ours([Drop(formula="absolute"), Increase()], "torch", n, maps).work
    groups = {
        "drop + increase": [
            *drop,
            Contender("torchcam", torchcam, network(), mean),
            Contender("grad-cam", grad_cam, network(), absolute),
        ],
        "sparseness": [
            Contender(first, partial(values, [Sparseness()], "torch", forward, maps), network()),
            Contender("quantus", partial(by_quantus, quantus.Sparseness), network(), first),
        ],
        "entropy": [
            Contender(first, partial(values, [Entropy()], "torch", forward, maps), network()),
            Contender("quantus, Complexity", partial(by_quantus, quantus.Complexity), network(), first),
        ],
    }
    rows = []
    for group, contenders in groups.items():
        rows += measure("metrics", group, n, contenders, bench.times(15), bench.budget / len(groups))
    return rows
