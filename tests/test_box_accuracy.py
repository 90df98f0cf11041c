"""MaxBoxAcc, MaxBoxAccV2 and PxAP: on paper, and as wsolevaluation computes them, image by image and over all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from exact import EXACT
from handmade import rows
from judged import subject
from numpy.typing import NDArray
from parity import Parity
from quick import QuickRun
from torch import Tensor

from camsbench import tables
from camsbench.core.boxes import Boxes, inside
from camsbench.core.columns import CURVE, columns_of, curves_of
from camsbench.core.explained import Metric
from camsbench.metrics import _regions as regions
from camsbench.metrics.max_box_acc import BoxAccuracy, MaxBoxAcc, MaxBoxAccV2, overlap
from camsbench.metrics.pxap import INSIDE, OUTSIDE, PxAP, average_precision
from camsbench.models.split import TorchSplit
from camsbench.report.page.columns import of_images, of_lines
from camsbench.report.page.input import ReportInput
from camsbench.report.page.lines import report_lines
from camsbench.report.page.standings import standings
from camsbench.report.page.write import write
from camsbench.report.saved_run import SavedRun
from camsbench.store.folder import RunFolder
from camsbench.tables.bootstrap import intervals
from camsbench.tables.curves import curve_columns
from camsbench.tables.measure import LineKey, Sample, estimate

Box = tuple[float, float, float, float]
LINE = LineKey("gradcam", "poppi@1", "last")


def reduced(metric: Metric, split: TorchSplit, saliency: Tensor, boxes: Boxes) -> pd.DataFrame:
    """The summary of a run whose maps these are, its curves as a run keeps them."""
    found = metric(subject(split, saliency, boxes))
    values: dict[str, Any] = {name: value.tolist() for name, value in found.items() if value.ndim == 1}
    made = rows("gradcam", n=len(saliency), **values)
    for name in curves_of(columns_of(metric)):
        made[CURVE + name] = pd.Series([each.numpy().astype(np.float32) for each in found[name]], dtype=object)
    return made


# --- on paper -------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_parts() -> Tensor:
    """4x6 pixels: six of 0.5 in rows 1 and 2, columns 1 to 3, and one of 1 in the upper right corner."""
    saliency = torch.zeros(4, 6)
    saliency[1:3, 1:4] = 0.5
    saliency[0, 5] = 1
    return saliency


def test_the_largest_part_s_box_at_each_threshold(tiny: TorchSplit, two_parts: Tensor) -> None:
    """0.5 is the grey level 127, which int(255·t) stays below up to t = 0.498: the first 499 of 1000 thresholds.

    There the box is 1,1 to 4,3, a pixel behind the last, and the object's box the same. From then on the corner's box
    is 5,0 to 5,1, since the map ends there, of two pixels; the second object's box, 5,0 to 6,1, has four.
    """
    boxes: Boxes = (((1, 1, 4, 3),), ((5, 0, 6, 1),), ())
    found = MaxBoxAcc()(subject(tiny, two_parts.expand(3, -1, -1), boxes))
    curve = found["max_box_acc_curve"]
    assert curve.shape == (3, 1000)
    assert (curve[0, :499].tolist(), curve[0, 499:].tolist()) == ([1] * 499, [0] * 501)
    assert torch.equal(curve[1], 1 - curve[0])  # IoU 2/4: right
    assert curve[2].isnan().all()
    assert found["max_box_acc"].tolist()[:2] == [1, 1]
    summary = tables.summarise(reduced(MaxBoxAcc(), tiny, two_parts.expand(3, -1, -1), boxes)).iloc[0]
    assert (summary["max_box_acc"], summary["max_box_acc_mean"]) == (0.5, 1)  # no threshold serves both


def test_the_best_of_all_parts_at_three_overlaps(tiny: TorchSplit, two_parts: Tensor) -> None:
    """The corner's box is there at every threshold, and is right at 0.3 and 0.5; the other as before, at all three."""
    boxes: Boxes = (((1, 1, 4, 3),), ((5, 0, 6, 1),))
    found = MaxBoxAccV2()(subject(tiny, two_parts.expand(2, -1, -1), boxes))
    sums = [found[f"max_box_acc_v2_{iou}_curve"].sum(1).tolist() for iou in (30, 50, 70)]
    assert sums == [[499, 1000], [499, 1000], [499, 0]]
    assert found["max_box_acc_v2"].tolist() == pytest.approx([1, 2 / 3])
    summary = tables.summarise(reduced(MaxBoxAccV2(), tiny, two_parts.expand(2, -1, -1), boxes)).iloc[0]
    assert summary["max_box_acc_v2"] == pytest.approx((1 + 1 + 0.5) / 3)


def test_fewer_thresholds(tiny: TorchSplit, two_parts: Tensor) -> None:
    found = MaxBoxAcc(0.25)(subject(tiny, two_parts[None], (((1, 1, 4, 3),),)))
    assert found["max_box_acc_curve"].tolist() == [[1, 1, 0, 0]]  # 0, 0.25, 0.5, 0.75


def test_a_map_of_zeros_has_the_first_pixel_s_box(tiny: TorchSplit) -> None:
    """As wsolevaluation has it, which takes both ends of 0,0 to 0,0 as inside."""
    flat = torch.zeros(2, 4, 6)
    boxes: Boxes = (((0, 0, 0.9, 0.9),), ((0, 0, 1, 1),))  # cut off to one pixel; of four
    for metric, first, second in ((MaxBoxAcc(), 1, 0), (MaxBoxAccV2(), 1, 0)):
        found = metric(subject(tiny, flat, boxes))
        assert next(iter(found.values())).tolist() == [first, second]


def test_a_hole_counts_as_part_of_the_largest_and_has_a_box_of_its_own_in_v2(tiny: TorchSplit) -> None:
    """A ring of 5x5 pixels around 3x3, and a block of 3x5: the ring's contour holds 16, the block's 8."""
    saliency = torch.zeros(7, 12)
    saliency[1:6, 1:6] = 1
    saliency[2:5, 2:5] = 0
    saliency[1:4, 7:12] = 1
    grey = regions.to_grey(saliency[None, None])[0]
    assert regions.largest(grey)[100].tolist() == [1, 1, 5, 5]
    assert regions.holes(grey).boxes.tolist() == [[1, 1, 5, 5]]  # its contour runs through the ring
    assert sorted(regions.connected(grey).boxes.tolist()) == [[0, 0, 11, 6], [1, 1, 5, 5], [7, 1, 11, 3]]
    saliency[1, 3] = 0  # open: no hole, and a contour that runs inside, too, whose area is 0
    assert regions.largest(regions.to_grey(saliency[None, None])[0])[100].tolist() == [7, 1, 11, 3]


def test_boxes_come_before_the_box_around_a_mask(tiny: TorchSplit, two_parts: Tensor) -> None:
    """The mask is where the part is, its box around it; the image's own box is elsewhere."""
    mask = torch.zeros(1, 4, 6, dtype=torch.bool)
    mask[0, 1:3, 1:4] = True
    mask[0, 1, 2] = False
    one, elsewhere = two_parts[None], (((4, 2, 6, 4),),)
    assert MaxBoxAcc()(subject(tiny, one, masks=mask))["max_box_acc"].item() == 1
    assert MaxBoxAcc()(subject(tiny, one, ((),), mask, ((),)))["max_box_acc"].item() == 1
    assert MaxBoxAcc()(subject(tiny, one, ((),), mask, elsewhere))["max_box_acc"].item() == 0
    assert MaxBoxAcc()(subject(tiny, one, ((),), mask & False))["max_box_acc"].isnan().all()


def test_pxap(tiny: TorchSplit) -> None:
    """In falling order 1 in, 0.8 out, 0.6 in and in, 0.2 out, 0 in: precision 1/1 of a quarter of the recall, 3/4 of
    half of it, and 4/6 of the last quarter. Pooled with its opposite, 1 out, 0.8 in and so on: 1/2 in all places."""
    saliency = torch.tensor([[1.0, 0.8, 0.6], [0.6, 0.2, 0.0]])
    mask = torch.tensor([[True, False, True], [True, False, True]])
    found = PxAP()(subject(tiny, saliency[None], masks=mask[None]))
    assert found["pxap"].item() == pytest.approx(1 / 4 + 3 / 4 / 2 + 4 / 6 / 4)
    assert found[INSIDE].shape == (1, 1001)
    assert [found[INSIDE][0, k].item() for k in (0, 1, 600, 601, 1000)] == [4, 3, 3, 1, 1]
    assert [found[OUTSIDE][0, k].item() for k in (0, 200, 201, 800, 801)] == [2, 2, 1, 1, 0]
    both = PxAP(0.2)(subject(tiny, saliency.expand(2, -1, -1), masks=torch.stack([mask, ~mask])))
    assert both[INSIDE].tolist() == [[4, 3, 3, 3, 1, 1], [2, 2, 1, 1, 1, 0]]
    assert average_precision(both[INSIDE].sum(0)[None], both[OUTSIDE].sum(0)[None]).item() == pytest.approx(0.5)


def test_a_map_of_zeros_has_the_object_s_share_as_pxap(tiny: TorchSplit) -> None:
    assert PxAP()(subject(tiny, torch.zeros(1, 2, 3), (((0, 0, 2, 1),),)))["pxap"].item() == pytest.approx(1 / 3)


def test_a_run_says_the_same_in_its_summary_pairs_and_leaderboard(quick_run: QuickRun, tmp_path: Path) -> None:
    """By hand of the curves that it kept, which the image without a box has none of."""
    outcome = quick_run(tmp_path, "method=[gradcam,fakecam]", "metric=[max_box_acc,pxap]", "data.limit=13")
    kept = RunFolder(tmp_path).curves()
    assert kept.groupby("curve").size().to_dict() == dict.fromkeys(["max_box_acc_curve", INSIDE, OUTSIDE], 24)
    summary, expected = outcome.summary.set_index("method"), {}
    for method, own in kept.groupby("method"):
        right, within, without = (
            np.stack(own[own["curve"] == name]["y"].tolist()) for name in ("max_box_acc_curve", INSIDE, OUTSIDE)
        )
        pooled = average_precision(*(torch.from_numpy(each.sum(0))[None] for each in (within, without))).item()
        expected[str(method)] = right.mean(0).max(), pooled
        found = [summary[name][str(method)] for name in ("max_box_acc", "pxap")]
        assert found == pytest.approx(expected[str(method)])
    assert 0.3 < expected["gradcam"][0] < 1
    (between,) = pd.read_csv(tmp_path / "pairs.csv").query("column == 'pxap'").to_dict("records")
    assert between["difference"] == pytest.approx(abs(expected["gradcam"][1] - expected["fakecam"][1]))
    assert between["low"] < between["difference"] < between["high"]
    saved = SavedRun.load(tmp_path)
    columns = of_lines(of_images([saved]), curve_columns(saved.rows))
    for standing in standings([saved], report_lines([saved]), columns):
        cells = {column.name: cell.value for column, cell in zip(columns, standing.cells, strict=True) if cell}
        assert (cells["max_box_acc"], cells["pxap"]) == pytest.approx(expected[standing.line.method])
    text = (tmp_path / "summary.md").read_text()
    assert "MaxBoxAcc: the share of images that are right at the one threshold that serves all of them best." in text
    assert "PxAP: over the pixels of all images together." in text
    page = write(ReportInput([saved], []), tmp_path / "report.html").read_text()
    assert f"{100 * expected['gradcam'][1]:.2f}" in page


# --- as wsolevaluation computes them --------------------------------------------------------------------------------


def thresholded_overlaps(scoremap: NDArray[Any], objects: list[list[int]], several: bool) -> NDArray[Any]:
    """The IoU at each of 1000 thresholds, by wsolevaluation's arithmetic: OpenCV's contours, both ends inside a box."""
    height, width = scoremap.shape
    image = (scoremap * 255).astype(np.uint8)[..., None]
    found: dict[int, float] = {}
    levels = [int(threshold * np.max(image)) for threshold in np.arange(0, 1, 0.001)]
    for level in set(levels):
        _, grey = cv2.threshold(image, level, 255, cv2.THRESH_BINARY)
        contours, _ = cv2.findContours(grey, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        chosen = contours if several or not contours else [max(contours, key=cv2.contourArea)]
        boxes = [(x, y, min(x + w, width - 1), min(y + h, height - 1)) for x, y, w, h in map(cv2.boundingRect, chosen)]
        found[level] = max(iou(box, one) for box in boxes or [(0, 0, 0, 0)] for one in objects)
    return np.array([found[level] for level in levels])


def iou(a: Any, b: Any) -> float:
    across, down = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i]) + 1) for i in (0, 1))
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (a, b)]
    return float(across * down / (sum(areas) - across * down))


def maps(generator: np.random.Generator, height: int, width: int) -> Iterator[NDArray[Any]]:
    """Smooth, noisy, sparse, coarse (with ties, holes and islands), never bright, constant, and empty ones."""
    coarse = torch.from_numpy(generator.random((1, 1, 4, 5)))
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")[0, 0].numpy()
    yield (smooth - smooth.min()) / np.ptp(smooth)
    yield generator.random((height, width))
    yield (generator.random((height, width)) > 0.85) * generator.integers(1, 5, (height, width)) / 4
    yield generator.integers(0, 4, (height, width)) / 3
    yield generator.random((height, width)) * 0.37
    yield np.ones((height, width))
    yield np.zeros((height, width))


def cases(sizes: int) -> Iterator[tuple[NDArray[Any], list[list[int]]]]:
    """Maps of many sizes, and one to three boxes each."""
    generator = np.random.default_rng(0)
    for _ in range(sizes):
        height, width = generator.integers(3, 34, 2)
        for scoremap in maps(generator, height, width):
            corners = np.sort(generator.integers(0, [[[width], [height]]] * 3, (3, 2, 2)))  # of x, of y
            yield scoremap, corners.transpose(0, 2, 1).reshape(3, 4)[: generator.integers(1, 4)].tolist()


@pytest.mark.parity
@pytest.mark.parametrize("metric", [MaxBoxAcc(), MaxBoxAccV2()], ids=["v1", "v2"])
def test_the_overlap_at_every_threshold_is_wsolevaluation_s(metric: BoxAccuracy, parity: Parity) -> None:
    mine, theirs = [], []
    for scoremap, objects in cases(8):
        (grey,) = regions.to_grey(torch.from_numpy(scoremap)[None, None])
        levels = (np.arange(0, 1, 0.001) * grey.max()).astype(int)
        mine.append(metric.overlaps(grey, np.array(objects))[levels])
        theirs.append(thresholded_overlaps(scoremap, objects, isinstance(metric, MaxBoxAccV2)))
    ours, others = torch.from_numpy(np.stack(mine)), torch.from_numpy(np.stack(theirs))
    assert len(others.unique()) > 100
    name = columns_of(metric)[0].name
    why = "the IoU at each of 1000 thresholds, of maps of every kind"
    parity.metric_agrees(name, "wsolevaluation", "none", ours, others, atol=EXACT, why=why)


def a_data_set(count: int, height: int = 40, width: int = 56) -> tuple[Tensor, Boxes]:
    """Maps that have their peak near to the middle of their object, more or less, and whole boxes."""
    generator = np.random.default_rng(3)
    rows_, columns = np.mgrid[:height, :width]
    found, boxes = [], []
    for _ in range(count):
        x0, y0 = int(generator.integers(0, width - 20)), int(generator.integers(0, height - 16))
        w, h = int(generator.integers(8, 20)), int(generator.integers(8, 16))
        middle = generator.normal((x0 + w / 2, y0 + h / 2), 3)
        distance = ((columns - middle[0]) / w) ** 2 + ((rows_ - middle[1]) / h) ** 2
        one = np.exp(-2 * distance * generator.uniform(0.3, 3)) + 0.3 * generator.random((height, width))
        found.append((one - one.min()) / np.ptp(one))
        boxes.append(((float(x0), float(y0), float(x0 + w), float(y0 + h)),))
    return torch.from_numpy(np.stack(found)), tuple(boxes)


@pytest.mark.parity
@pytest.mark.parametrize("metric", [MaxBoxAcc(), MaxBoxAccV2()], ids=["v1", "v2"])
def test_the_summary_s_accuracy_is_wsolevaluation_s(tiny: TorchSplit, metric: BoxAccuracy, parity: Parity) -> None:
    """``BoxEvaluator``: images counted at each threshold, the maximum, the mean over IoUs."""
    saliency, boxes = a_data_set(12)
    correct = {delta: np.zeros(1000) for delta in metric.ious}
    for scoremap, objects in zip(saliency.numpy(), boxes, strict=True):
        whole = [[int(edge) for edge in box] for box in objects]
        best = thresholded_overlaps(scoremap, whole, isinstance(metric, MaxBoxAccV2))
        for delta, count in correct.items():
            count[np.where(best >= delta)[0]] += 1
    theirs = np.average([(count / len(boxes)).max() for count in correct.values()])
    name = columns_of(metric)[0].name
    mine = tables.summarise(reduced(metric, tiny, saliency, boxes)).iloc[0]
    assert 0.2 < theirs < 0.95
    assert mine[f"{name}_mean"] > mine[name]  # each image at its own threshold
    why = "the published number, over all images"
    parity.metric_agrees(
        name, "wsolevaluation", "none", torch.tensor(mine[name]), torch.tensor(theirs, dtype=torch.double), EXACT, why
    )


def mask_auc(scoremaps: NDArray[Any], masks: NDArray[Any]) -> float:
    """``MaskEvaluator``'s arithmetic: histograms of all images' pixels, their precision at the growth of recall."""
    edges = np.append(np.arange(0, 1, 0.001), [1.0, 2.0, 3.0])
    true, false = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for scoremap, mask in zip(scoremaps, masks, strict=True):
        true += np.histogram(scoremap[mask], bins=edges)[0]
        false += np.histogram(scoremap[~mask], bins=edges)[0]
    tp, fp = true[::-1].cumsum(), false[::-1].cumsum()
    some = (tp + fp) != 0
    precision = np.divide(tp, tp + fp, out=np.zeros_like(tp), where=some)
    return float((precision[1:] * np.diff(tp / true.sum()))[some[1:]].sum())


@pytest.mark.parity
def test_pxap_is_wsolevaluation_s(tiny: TorchSplit, parity: Parity) -> None:
    saliency, boxes = a_data_set(12)
    saliency[1] = (saliency[1] * 20).round() / 20  # values on the edges of bins
    masks = inside(boxes, saliency[:, None])
    found = PxAP()(subject(tiny, saliency, boxes))
    each = [mask_auc(one[None], mask[None]) for one, mask in zip(saliency.numpy(), masks.numpy(), strict=True)]
    parity.metric_agrees(
        "pxap", "wsolevaluation", "none", found["pxap"], torch.tensor(each, dtype=torch.double), EXACT, "of one image"
    )
    given = reduced(PxAP(), tiny, saliency, boxes)
    mine = tables.summarise(given).iloc[0]
    theirs = mask_auc(saliency.numpy(), masks.numpy())
    assert abs(mine["pxap_mean"] - theirs) > 0.005  # pooled is not averaged
    why = "the published number, over all images' pixels"
    parity.metric_agrees(
        "pxap",
        "wsolevaluation",
        "none",
        torch.tensor(mine["pxap"]).double(),
        torch.tensor(theirs, dtype=torch.double),
        EXACT,
        why,
    )
    made = estimate(Sample.of(given), LINE, "pxap", columns_of(PxAP())[0].reductions[0])
    (interval,) = intervals([made.statistic], 12, seed=0)
    assert interval.value == pytest.approx(theirs, abs=EXACT)
    assert interval.low < theirs < interval.high


def test_overlap_has_both_ends_inside() -> None:
    """0,0 to 1,1 has four pixels, 1,1 to 3,2 six, and they share one; 5,5 to 5,5 is one pixel."""
    found = overlap(np.array([[0, 0, 1, 1], [5, 5, 5, 5]]), np.array([[1, 1, 3, 2], [5, 5, 6, 5]]))
    assert found.tolist() == pytest.approx([1 / 9, 1 / 2])
