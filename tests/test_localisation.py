"""IoU, relevance mass and rank, and the saliency metric: on paper, against Quantus and OpenCV, and any batch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
import quantus
import torch
import torch.nn.functional as F
from exact import EXACT, in_double
from judged import judged, subject
from parity import Parity
from torch import Tensor

import camsbench
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core.boxes import Boxes, inside
from camsbench.core.explained import Metric
from camsbench.metrics._objects import box_around
from camsbench.metrics.localisation import IoU, RelevanceMass, RelevanceRank, best_iou
from camsbench.metrics.max_box_acc import MaxBoxAcc, MaxBoxAccV2
from camsbench.metrics.pointing import EnergyPointing
from camsbench.metrics.pxap import PxAP
from camsbench.metrics.saliency_metric import SaliencyMetric, resized_crops
from camsbench.models.split import TorchSplit

SIX = torch.tensor([[0.1, 0.2, 0.0], [0.4, 1.0, 0.3]])  # wider than high
OF_OBJECTS: list[Metric] = [IoU(), RelevanceMass(), RelevanceRank(), MaxBoxAcc(), MaxBoxAccV2(), PxAP()]


def of(metric: Metric, split: TorchSplit, saliency: Tensor, boxes: Boxes = (), **known: Any) -> dict[str, Tensor]:
    return metric(subject(split, saliency, boxes, **known))


# --- on paper -------------------------------------------------------------------------------------------------------


def test_iou_at_a_threshold_and_at_the_best_one(tiny: TorchSplit) -> None:
    """The object is 0.2 and 0. At least 0.2 are four pixels, of which one is its: 1/5. Down to 0, all: 2/6."""
    found = of(IoU(), tiny, SIX[None], (((1, 0, 3, 1),),))
    assert found["iou"].item() == pytest.approx(1 / 5)
    assert found["iou_best"].item() == pytest.approx(2 / 6)
    # of the lower row without its end, 0.4 and 1: at 0.4 both and nothing else
    found = of(IoU(0.35), tiny, SIX[None], (((0, 1, 2, 2),),))
    assert (found["iou"].item(), found["iou_best"].item()) == (1, 1)
    assert of(IoU(1), tiny, SIX[None], (((0, 1, 2, 2),),))["iou"].item() == 1 / 2  # the maximum alone
    assert of(IoU(0.35), tiny, SIX[None] / 2, (((0, 1, 2, 2),),))["iou"].item() == 1  # a share of the map's maximum


def test_equal_pixels_are_marked_together(tiny: TorchSplit) -> None:
    """Half of the ones are the object's: a threshold has both or none, 2/4, and never those two alone."""
    saliency = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    assert of(IoU(), tiny, saliency[None], (((0, 0, 2, 1),),))["iou_best"].item() == 1 / 2
    flat = of(IoU(), tiny, torch.zeros(1, 2, 3), (((0, 0, 2, 1),),))
    assert (flat["iou"].item(), flat["iou_best"].item()) == (pytest.approx(1 / 3), pytest.approx(1 / 3))


def test_relevance_mass_is_the_energy_in_the_object(tiny: TorchSplit) -> None:
    """(0.2 + 0)/2; with the left column 0.5/2. Below 0 the two part: (−0.5 + 0.4)/1.4, and 0.4/1.9."""
    assert judged(RelevanceMass(), tiny, SIX, (1, 0, 3, 1)) == pytest.approx(0.1)
    assert judged(EnergyPointing(), tiny, SIX, (1, 0, 3, 1)) == pytest.approx(0.1)
    signed = SIX.clone()
    signed[0, 0] = -0.5
    assert judged(RelevanceMass(), tiny, signed, (0, 0, 1, 2)) == pytest.approx(-0.1 / 1.4)
    assert judged(EnergyPointing(), tiny, signed, (0, 0, 1, 2)) == pytest.approx(0.4 / 1.9)
    for values in (torch.zeros(2, 3), torch.tensor([[1.0, 0, 0], [0, -1, 0]])):  # the second sums to 0 with 1 inside
        assert math.isnan(judged(RelevanceMass(), tiny, values, (0, 0, 1, 2)))
    assert judged(EnergyPointing(), tiny, torch.zeros(2, 3), (0, 0, 1, 2)) == 0


def test_relevance_rank_looks_at_as_many_pixels_as_the_object_has(tiny: TorchSplit) -> None:
    """In descending order 1, 0.4, 0.3, 0.2, 0.1, 0."""
    assert judged(RelevanceRank(), tiny, SIX, (0, 1, 2, 2)) == 1  # 0.4 and 1
    assert judged(RelevanceRank(), tiny, SIX, (1, 0, 2, 2)) == 1 / 2  # 0.2 and 1
    assert judged(RelevanceRank(), tiny, SIX, (1, 0, 3, 1)) == 0  # 0.2 and 0
    assert judged(RelevanceRank(), tiny, SIX, (0, 0, 2, 2)) == 3 / 4  # 0.1, 0.2, 0.4 and 1: without 0.1
    flat = torch.ones(2, 3)  # in raster order
    assert judged(RelevanceRank(), tiny, flat, (0, 0, 1, 2)) == 1 / 2
    assert judged(RelevanceRank(), tiny, flat, (2, 0, 3, 2)) == 0


def test_best_iou_is_that_of_all_thresholds() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 9, (12, 35), generator=generator).double() - 3
    inside = torch.rand(12, 35, generator=generator) < 0.4
    inside[0] = False
    plain = [
        max(float(((v >= t) & m).sum() / ((v >= t) | m).sum()) for t in v.unique())
        for v, m in zip(values, inside, strict=True)
    ]
    assert best_iou(values, inside).tolist() == pytest.approx(plain)


def test_a_mask_says_it_where_there_is_no_box(tiny: TorchSplit) -> None:
    mask = torch.tensor([[[False, True, True], [False, False, False]]])
    boxed = of(IoU(), tiny, SIX[None], (((1, 0, 3, 1),),))
    assert of(IoU(), tiny, SIX[None], masks=mask) == boxed
    assert box_around(torch.cat([mask, mask & False])).tolist() == [[1, 0, 3, 1], [0, 0, 0, 0]]


# --- the saliency metric --------------------------------------------------------------------------------------------


def tiny_logits(c0: float, c1: float) -> float:
    """log p_0 of ``conftest.Tiny``, of the means of two channels above 0: p_0 = σ(c0/2 − 6·c1)."""
    return -math.log1p(math.exp(-(c0 / 2 - 6 * c1)))


def test_the_saliency_metric(tiny: TorchSplit) -> None:
    """Mean 0.25 of 2x4 pixels. At least that are 1 and 0.5, in the lower row: a box of 2x1, a quarter of the image.

    Resized it is its two columns, which average as they did: c0 = (6 + 7)/2, c1 = 0.25.
    """
    saliency = torch.tensor([[[0.1, 0.2, 0.1, 0.0], [0.0, 1.0, 0.5, 0.1]]])
    x = torch.zeros(1, 3, 2, 4)
    x[0, 0] = torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]])
    x[0, 1, 1, 1:3] = torch.tensor([0.5, 0.0])
    found = SaliencyMetric()(subject(tiny, saliency, x=x))["saliency_metric"]
    assert found.item() == pytest.approx(math.log(0.25) - tiny_logits(6.5, 0.25), abs=1e-6)
    # at twice the mean, 0.5, the same; at three times 1 alone, an eighth; beyond the maximum that still
    for threshold, area, c0, c1 in ((2, 0.25, 6.5, 0.25), (3, 0.125, 6, 0.5), (30, 0.125, 6, 0.5)):
        found = SaliencyMetric(threshold)(subject(tiny, saliency, x=x))["saliency_metric"]
        assert found.item() == pytest.approx(math.log(area) - tiny_logits(c0, c1), abs=1e-6)
    whole = SaliencyMetric()(subject(tiny, torch.zeros(1, 2, 4), x=x))["saliency_metric"]
    assert whole.item() == pytest.approx(-tiny_logits(36 / 8, 0.5 / 8), abs=1e-6)


def test_a_crop_of_less_than_a_twentieth_counts_as_one(tiny: TorchSplit) -> None:
    saliency = torch.zeros(1, 5, 8)
    saliency[0, 3, 6] = 1
    found = SaliencyMetric()(subject(tiny, saliency))["saliency_metric"]
    assert found.item() == pytest.approx(math.log(0.05) - math.log(0.5), abs=1e-6)  # of a black image p = 1/2


def test_a_class_without_any_probability_has_a_number(tiny: TorchSplit) -> None:
    x = torch.zeros(1, 3, 2, 3)
    x[0, 1] = 300
    found = SaliencyMetric()(subject(tiny, SIX[None], x=x))["saliency_metric"]
    assert 80 < found.item() < 90  # log of the least number of single precision is −87.3


def test_crops_are_resized_as_by_interpolate() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(6, 3, 7, 11, generator=generator, dtype=torch.double)
    box = torch.tensor([[0, 0, 11, 7], [3, 2, 4, 3], [0, 0, 1, 7], [10, 6, 11, 7], [2, 1, 9, 3], [5, 0, 11, 4]])
    plain = [
        F.interpolate(each[None, :, y0:y1, x0:x1], size=(7, 11), mode="bilinear")
        for each, (x0, y0, x1, y1) in zip(x, box.tolist(), strict=True)
    ]
    assert (resized_crops(x, box) - torch.cat(plain)).abs().max() < EXACT


# --- contract -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maps() -> Tensor:
    """Smooth, noisy, coarse and constant maps of 17x26 pixels, in [0,1]."""
    generator = torch.Generator().manual_seed(0)
    smooth = F.interpolate(torch.rand(2, 1, 4, 5, generator=generator), size=(17, 26), mode="bilinear")[:, 0]
    noisy = torch.rand(1, 17, 26, generator=generator)
    coarse = torch.randint(0, 4, (1, 17, 26), generator=generator) / 3
    return torch.cat([smooth, noisy, coarse, torch.zeros(1, 17, 26)])


BOXES: Boxes = (
    ((2.3, 1.0, 20.0, 9.6),),
    ((0, 0, 26, 17),),
    ((3, 3, 9, 9), (12, 4, 26, 17)),
    (),
    ((5, 5, 15, 12),),
)


@pytest.mark.parametrize("metric", [*OF_OBJECTS, SaliencyMetric()], ids=lambda metric: type(metric).__name__)
def test_a_batch_is_its_single_images(tiny: TorchSplit, maps: Tensor, metric: Metric) -> None:
    together = of(metric, tiny, maps, BOXES)
    for i, (one, boxes) in enumerate(zip(maps, BOXES, strict=True)):
        for name, values in of(metric, tiny, one[None], (boxes,) if boxes else ((),)).items():
            torch.testing.assert_close(values[0], together[name][i], rtol=0, atol=1e-6, equal_nan=True)
            assert values.isnan().all() == (not boxes and not isinstance(metric, SaliencyMetric)) or i == 4


@pytest.mark.parametrize("metric", [*OF_OBJECTS, EnergyPointing()], ids=lambda metric: type(metric).__name__)
def test_x_and_y_are_not_swapped(tiny: TorchSplit, maps: Tensor, metric: Metric) -> None:
    """A map and boxes that are transposed together have the same values; the boxes alone, others."""
    turned = tuple(tuple((y0, x0, y1, x1) for x0, y0, x1, y1 in boxes) for boxes in BOXES)
    untied = maps[:3]  # of equal pixels the first in raster order goes first
    straight, together = of(metric, tiny, untied, BOXES[:3]), of(metric, tiny, untied.mT, turned[:3])
    for name, values in straight.items():
        torch.testing.assert_close(values, together[name], rtol=0, atol=1e-5)
    apart = of(metric, tiny, untied, turned[:3])
    assert any((values - apart[name]).abs().max() > 0.01 for name, values in straight.items())


@pytest.mark.parametrize("metric", OF_OBJECTS, ids=lambda metric: type(metric).__name__)
def test_images_without_an_object_are_not_judged(tiny: TorchSplit, maps: Tensor, metric: Metric) -> None:
    masks = torch.zeros(2, 17, 26, dtype=torch.bool)
    masks[0, 3:9, 5:20] = True
    for values in of(metric, tiny, maps[:2], masks=masks).values():
        assert values[0].isfinite().all()
        assert values[1].isnan().all()
    with pytest.raises(camsbench.CamsbenchError, match=r"needs the images' boxes: give evaluate\(boxes="):
        of(metric, tiny, maps[:2])


def test_the_python_api_takes_them(lite0: TorchSplit, images: Tensor) -> None:
    names = ["iou", "relevance_mass", "relevance_rank", "max_box_acc", "max_box_acc_v2", "pxap", "saliency_metric"]
    whole: Boxes = (((0, 0, 96, 96),),)
    rows = camsbench.evaluate("gradcam", lite0, images[:1], metrics=names, boxes=whole)
    assert rows["relevance_mass"][0] == pytest.approx(1)
    assert rows[["iou_best", "relevance_rank", "pxap"]].iloc[0].tolist() == [1, 1, 1]
    assert rows[["iou", "max_box_acc", "saliency_metric"]].notna().all(axis=None)


def test_yaml_defaults_are_the_classes_own() -> None:
    names = "iou,relevance_mass,relevance_rank,max_box_acc,max_box_acc_v2,pxap,saliency_metric"
    made = make_metrics(compose_config([f"metric=[{names}]"]))
    assert list(made.values()) == [*OF_OBJECTS, SaliencyMetric()]


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (IoU, {"threshold": 1.5}, "threshold is 1.5: it must be in"),
        (IoU, {"threshold": -0.1}, "threshold is -0.1"),
        (MaxBoxAcc, {"interval": 0}, "interval is 0: it must be between 0 and 1"),
        (MaxBoxAccV2, {"interval": 1}, "interval is 1"),
        (PxAP, {"interval": -0.5}, "interval is -0.5"),
        (SaliencyMetric, {"threshold": 0}, "threshold is 0: it must be above 0"),
    ],
)
def test_wrong_settings(kind: Any, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        kind(**options)


# --- parity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parity
@pytest.mark.parametrize(
    ("metric", "peer"),
    [
        (RelevanceMass(), quantus.RelevanceMassAccuracy),
        (RelevanceRank(), quantus.RelevanceRankAccuracy),
    ],
    ids=["mass", "rank"],
)
def test_relevance_equals_quantus(tiny: TorchSplit, parity: Parity, metric: Metric, peer: Any) -> None:
    """Of maps with values below 0, which are not square; Quantus divides by the greatest magnitude, which cancels."""
    double = in_double(tiny)
    maps = torch.randn(5, 17, 26, generator=torch.Generator().manual_seed(0), dtype=torch.double) + 0.5
    boxes = (*BOXES[:3], ((4.0, 2.0, 5.0, 3.0),), BOXES[4])
    masks = inside(boxes, maps[:, None])
    (mine,) = of(metric, double, maps, boxes).values()
    theirs = peer(disable_warnings=True)(
        model=double.model,
        x_batch=np.zeros((5, 3, 17, 26)),
        y_batch=np.zeros(5, dtype=int),
        a_batch=maps[:, None].numpy(),
        s_batch=masks[:, None].numpy(),
    )
    (column,) = metric.columns
    name = column.name if not isinstance(column, str) else column
    parity.metric_agrees(name, "quantus", "tiny", mine, torch.tensor(np.array(theirs)), atol=EXACT)


@pytest.mark.parity
def test_the_saliency_metric_equals_the_published_loop(exact_lite0: TorchSplit, images: Tensor, parity: Parity) -> None:
    """As Phang et al. (2020) compute it of a box: OpenCV resizes the crop, here linearly."""
    x, maps = images[:3].double(), []
    for y0, y1, x0, x1 in ((10, 70, 20, 90), (0, 96, 5, 60), (40, 52, 30, 45)):
        one = torch.full((96, 96), 0.01, dtype=torch.double)
        one[y0:y1, x0:x1] = torch.linspace(0.9, 1, y1 - y0, dtype=torch.double)[:, None]
        maps.append(one)
    explained = subject(exact_lite0, torch.stack(maps), x=x)
    mine = SaliencyMetric()(
        replace(explained, forward=replace(explained.forward, target=torch.tensor([243, 559, 438])))
    )
    theirs = []
    for image, one, target in zip(x, maps, (243, 559, 438), strict=True):
        rows, columns = np.nonzero((one > one.mean()).numpy())
        crop = image[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        resized = cv2.resize(crop.permute(1, 2, 0).numpy(), (96, 96), interpolation=cv2.INTER_LINEAR)
        with torch.no_grad():
            logits = exact_lite0.model(torch.from_numpy(resized).permute(2, 0, 1)[None])
        area = max(crop.shape[1] * crop.shape[2] / 96**2, 0.05)
        theirs.append(math.log(area) - math.log(float(logits.softmax(1)[0, target])))
    values = mine["saliency_metric"]
    why = "of its box, resized linearly"
    parity.metric_agrees(
        "saliency_metric", "Phang et al.", "lite0", values, torch.tensor(theirs, dtype=torch.double), atol=1e-6, why=why
    )
