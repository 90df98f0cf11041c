"""A ViT that reads its class token: ReciproCAM by kinds of tokens, by one query, by all; Grad-CAM over bare."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

import camsbench
from benching.methods import BATCH
from benching.subjects import Bench, network, pictures
from benching.timing import Contender, Row, measure
from camsbench.core import scoring
from camsbench.core.types import Forward
from camsbench.methods.reciprocam import ReciproCAM, spatial_masks
from camsbench.methods.vit_reciprocam import ViTReciproCAM
from camsbench.models.split import TorchSplit

MODEL = "timm/vit_base_patch16_224"
KINDS, ONE, ALL = "camsbench, torch, a token of each kind", "camsbench, torch, one query", "all queries"


def vit(bench: Bench) -> list[Row]:
    """196 cells of ViT-B/16 with random weights, the activations given, and a batch of images to a map each."""
    split, n = network(MODEL), 1
    x = pictures(n, MODEL)
    forward = scoring.forward(split, x, None, (0,) * n)
    rows: list[Row] = []
    for mask in ("cell", "gaussian"):
        method = ReciproCAM(mask=mask, score="logit")
        contenders = [
            Contender(KINDS, partial(method, split, forward), split),
            Contender(f"a pass a cell, {ALL}", partial(method, split.plain, forward), split, KINDS),
            Contender("a pass a cell, one query", partial(every_cell, split, forward, mask), split, KINDS),
            bare(split, x, "one query"),
            bare(split.plain, x, ALL),
        ]
        rows += measure("vit", f"ReciproCAM, {mask}", n, contenders, bench.times(5), bench.budget / 3)
    form = ViTReciproCAM(mask="gaussian")
    contenders = [
        Contender(ONE, partial(form, split, forward), split),
        Contender(f"a pass a cell, {ALL}", partial(form, split.plain, forward), split, ONE),
    ]
    rows += measure("vit", "ViT-ReciproCAM, gaussian", n, contenders, bench.times(5), bench.budget / 3)
    x, target = pictures(batch := 2 if bench.smoke else BATCH, MODEL), [0] * batch
    contenders = [
        bare(split.plain, x, ALL),
        bare(split, x, "one query"),
        Contender("camsbench, torch", partial(camsbench.explain, "gradcam", split, x, target), split),
        Contender(f"{ALL}, camsbench, torch", partial(camsbench.explain, "gradcam", split.plain, x, target), split),
    ]
    return rows + measure("vit", "Grad-CAM", batch, contenders, bench.times(7), bench.budget / 3)


def bare(split: TorchSplit, x: Tensor, how: str) -> Contender:
    """The logits of the images, and nothing else."""

    def work() -> None:
        with torch.no_grad():
            for chunk in x.split(split.micro_batch.size):
                split.logits(chunk)

    return Contender(f"bare forward, {how}", work, split)


def every_cell(split: TorchSplit, forward: Forward, mask: str) -> Tensor:
    """ReciproCAM's map by a pass of the head a cell, in whichever way the split passes it."""
    height, width = forward.A.shape[2:]
    cells, masks = forward.A.flatten(2), spatial_masks(height, width, mask, forward.A)

    def perturb(image: Tensor, cell: Tensor) -> Tensor:
        return cells[image, :, cell][:, :, None, None] * masks[cell][:, None]

    return scoring.score_features(split, forward, perturb, height * width, False).view(-1, height, width)
