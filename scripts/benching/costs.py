"""How the cost grows: with the channels of the layer and with the batch."""

from __future__ import annotations

from functools import partial

import torch

import camsbench
from benching.methods import bare, ours
from benching.subjects import BACKENDS, Bench, network, on, pictures, targets
from benching.timing import Contender, Row, measure

LAYERS = {
    "efficientnet_lite0": [f"blocks.{i}.0.bn2" for i in range(7)] + ["bn2"],
    "resnet18": ["layer1", "layer2", "layer3", "layer4"],
}
CELLS = 196  # ReciproCAM passes the head once a cell, which at 112×112 takes minutes


def channels(bench: Bench) -> list[Row]:
    """One image under Grad-CAM, Score-CAM and (at small maps) ReciproCAM at layers of 16 to 1280 channels."""
    chosen = {"efficientnet_lite0": ["blocks.0.0.bn2"]} if bench.smoke else LAYERS
    cuts = [(model, layer) for model, layers in chosen.items() for layer in layers]
    rows = []
    for model, layer in cuts:
        split, x = network(model, layer), pictures(1, model)
        with torch.no_grad():
            count, height, width = split.features(x).shape[1:]
        few = height * width <= CELLS
        contenders = [
            Contender(method, partial(camsbench.explain, method, split, x, targets(1)), split)
            for method in ("gradcam", "scorecam", *(["reciprocam"] if few else []))
        ]
        group = f"{model} {layer} {count}×{height}×{width}"
        rows += measure("channels", group, 1, contenders, bench.times(5), bench.budget / len(cuts))
    return rows


def batches(bench: Bench) -> list[Row]:
    """Images a batch, on each backend: the bare pass, Grad-CAM and ReciproCAM."""
    sizes = (1, 2) if bench.smoke else (1, 2, 4, 8, 16, 32)
    rows = []
    for n in sizes:
        x, target = pictures(n), targets(n)
        contenders = []
        for backend in BACKENDS:
            contenders.append(bare(backend, x))
            for method in ("gradcam", "reciprocam"):
                if "gradient" not in _needs(method) or "gradient" in on(backend).provides:
                    one = ours(method, backend, x, target)
                    contenders.append(Contender(f"{method}, {backend}", one.work, one.counts))
        rows += measure("batches", f"batch {n:02d}", n, contenders, bench.times(15), bench.budget / len(sizes))
    return rows


def _needs(method: str) -> frozenset[str]:
    return frozenset({"gradient"}) if method == "gradcam" else frozenset()
