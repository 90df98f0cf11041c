"""The pointing game on paper, against TorchRay's rule written out, and in a run."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from judged import judged, subject
from quick import QuickRun
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.config.build import build
from camsbench.config.compose import compose_config
from camsbench.config.instantiate import make_metrics
from camsbench.core.boxes import Boxes, inside
from camsbench.core.columns import columns_of
from camsbench.core.explained import Metric
from camsbench.metrics.pointing import EnergyPointing, Pointing, PointingWithin
from camsbench.models.split import TorchSplit
from camsbench.store.folder import RunFolder
from camsbench.tables.summary import class_average


def peak_at(row: int, column: int, height: int = 4, width: int = 6) -> Tensor:
    saliency = torch.linspace(0, 0.5, height * width).view(height, width)
    saliency[row, column] = 1
    return saliency


def test_a_pixel_is_inside_where_its_centre_is() -> None:
    like = torch.zeros(4, 1, 3, 4)
    boxes: Boxes = (
        ((1, 0, 3, 2),),  # whole-numbered: columns 1 and 2, rows 0 and 1
        ((0.5, 0.5, 1.5, 1.5),),  # a centre on the left or upper edge is in, on the right or lower edge out
        ((3, 2, 4, 3), (0, 0, 1, 3), (0, 1, 2, 2)),  # the corner; two that overlap
        (),
    )
    assert inside(boxes, like).int().tolist() == [
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]],
        [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
    ]


def test_hit_and_miss_at_the_edges_of_a_box(tiny: TorchSplit) -> None:
    box = (2.0, 1.0, 4.0, 3.0)  # columns 2 and 3, rows 1 and 2
    for row, column, hit in [(1, 2, 1), (2, 3, 1), (0, 2, 0), (3, 2, 0), (1, 1, 0), (1, 4, 0)]:
        assert judged(Pointing(), tiny, peak_at(row, column), box) == hit
    assert judged(Pointing(), tiny, peak_at(3, 5), (5, 3, 6, 4)) == 1  # the last pixel of the image
    assert judged(Pointing(), tiny, peak_at(3, 5), (0, 0, 1, 1), (4, 2, 6, 4)) == 1  # any of several boxes


def test_of_several_maxima_the_first_in_raster_order_counts(tiny: TorchSplit) -> None:
    saliency = torch.zeros(4, 6)
    saliency[1, 4] = saliency[2, 0] = 1
    assert judged(Pointing(), tiny, saliency, (4, 1, 5, 2)) == 1
    assert judged(Pointing(), tiny, saliency, (0, 2, 1, 3)) == 0
    assert judged(Pointing(), tiny, torch.zeros(4, 6), (0, 0, 1, 1)) == 1  # a constant map points at the corner


@pytest.mark.parametrize("metric", [Pointing(), PointingWithin(15), EnergyPointing()])
def test_images_without_a_box_are_not_judged(tiny: TorchSplit, metric: Metric) -> None:
    sliver = (0.6, 0.0, 0.9, 4.0)  # what a crop may leave: no pixel's centre
    boxes: Boxes = ((), ((0, 0, 6, 4),), (sliver,))
    (values,) = metric(subject(tiny, peak_at(2, 2).expand(3, -1, -1), boxes)).values()
    assert [math.isnan(value) for value in values.tolist()] == [True, False, True]
    assert values[1] == 1
    with pytest.raises(CamsbenchError, match=r"needs the images' boxes: give evaluate\(boxes="):
        metric(subject(tiny, peak_at(2, 2)[None], ()))


def test_the_tolerance_is_a_distance_that_must_stay_below_it(tiny: TorchSplit) -> None:
    saliency = peak_at(0, 0, 20, 40)
    assert judged(PointingWithin(15), tiny, saliency, (14, 0, 16, 1)) == 1  # 14 pixels away
    assert judged(PointingWithin(15), tiny, saliency, (15, 0, 16, 1)) == 0  # 15
    assert judged(PointingWithin(15), tiny, saliency, (9, 12, 10, 13)) == 0  # √(9² + 12²) = 15
    assert judged(PointingWithin(15), tiny, saliency, (9, 11, 10, 12)) == 1  # √202
    assert judged(PointingWithin(16), tiny, saliency, (15, 0, 16, 1)) == 1


def torchray_hit(saliency: Tensor, boxes: list[tuple[int, int, int, int]], tolerance: int) -> int:
    """The rule of TorchRay's ``PointingGame.evaluate``, of VOC's inclusive boxes, pixel by pixel."""
    width = saliency.shape[1]
    place = int(torch.argmax(saliency.view(-1)))
    u, v = place % width, place // width
    for x0, y0, x1, y1 in boxes:  # VOC: 1-based, the last pixel included
        for y in range(y0 - 1, y1):
            for x in range(x0 - 1, x1):
                if (x - u) ** 2 + (y - v) ** 2 < tolerance**2:
                    return 1
    return 0


def test_as_torchray_decides(tiny: TorchSplit) -> None:
    generator = torch.Generator().manual_seed(0)
    found = []
    for _ in range(60):
        saliency = torch.rand(30, 50, generator=generator)
        voc = []
        for _ in range(int(torch.randint(1, 4, (), generator=generator))):
            x0, y0 = (int(torch.randint(1, side - 4, (), generator=generator)) for side in (50, 30))
            voc.append((x0, y0, x0 + 3, y0 + 2))
        ours = [(x0 - 1.0, y0 - 1.0, float(x1), float(y1)) for x0, y0, x1, y1 in voc]
        expected = torchray_hit(saliency, voc, 9)
        assert judged(PointingWithin(9), tiny, saliency, *ours) == expected
        assert judged(Pointing(), tiny, saliency, *ours) == torchray_hit(saliency, voc, 1)  # below 1: the pixel itself
        found.append(expected)
    assert 10 < sum(found) < 50


def test_energy_in_the_boxes(tiny: TorchSplit) -> None:
    saliency = torch.tensor([[0.1, 0.2, 0.0], [0.4, 1.0, 0.3]])
    assert judged(EnergyPointing(), tiny, saliency, (1, 0, 2, 2)) == pytest.approx(1.2 / 2)
    overlapping = ((0.0, 1.0, 2.0, 2.0), (1.0, 0.0, 3.0, 2.0))  # the middle of the lower row lies in both
    assert judged(EnergyPointing(), tiny, saliency, *overlapping) == pytest.approx(1.9 / 2)
    assert judged(EnergyPointing(), tiny, saliency, (0, 0, 3, 2)) == pytest.approx(1)
    assert judged(EnergyPointing(), tiny, torch.zeros(2, 3), (0, 0, 3, 2)) == 0
    saliency[0, 0] = -0.5  # as bicubic interpolation may make it
    assert judged(EnergyPointing(), tiny, saliency, (0, 0, 1, 2)) == pytest.approx(0.4 / 1.9)


def test_class_average_is_the_mean_of_the_classes_means() -> None:
    rows = pd.DataFrame(
        {
            "label": [7, 7, 7, 7, 3, 5],
            "pointing": [1.0, 1.0, 0.0, float("nan"), 0.0, float("nan")],  # class 7: 2/3, class 3: 0, class 5: none
        }
    )
    assert class_average(rows, "pointing") == pytest.approx(1 / 3)
    assert rows["pointing"].mean() == pytest.approx(1 / 2)  # which is not the same
    assert math.isnan(class_average(rows[rows["label"] == 5], "pointing"))


def test_a_public_call_with_boxes(lite0: TorchSplit, images: Tensor) -> None:
    whole, none = [(0.0, 0.0, 96.0, 96.0)], [(0.0, 0.0, 1.0, 1.0)]
    rows = camsbench.evaluate(
        *("gradcam", lite0, images[:3]),
        metrics=["pointing", "pointing_15px", "energy_pointing"],
        boxes=[whole, none, []],
    )
    assert rows[["pointing", "pointing_15px"]].iloc[:2].to_numpy().tolist() == [[1, 1], [0, 0]]
    assert rows["energy_pointing"][0] == pytest.approx(1)
    assert rows.iloc[2][["pointing", "pointing_15px", "energy_pointing"]].isna().all()


def test_a_run_points_at_the_samples(quick_run: QuickRun, tmp_path: Path) -> None:
    metrics = "metric=[pointing,pointing_15px,energy_pointing]"
    outcome = quick_run(tmp_path, "method=[gradcam,fakecam]", metrics)
    rows = RunFolder(tmp_path).rows()
    without = rows["image_id"] == "imagenet_12_741"  # the one without a box
    columns = ["pointing", "pointing_15px", "energy_pointing"]
    assert rows["error"].isna().all()
    assert rows[without][columns].isna().all(axis=None)
    judged_rows = rows[~without]
    assert len(judged_rows) == 38
    assert judged_rows["pointing"].isin([0, 1]).all()
    assert judged_rows["pointing_15px"].isin([0, 1]).all()
    assert (judged_rows["pointing_15px"] >= judged_rows["pointing"]).all()
    assert judged_rows["energy_pointing"].between(0, 1).all()
    summary = outcome.summary.set_index("method")
    assert summary["n"].tolist() == [20, 20]
    gradcam = judged_rows[judged_rows["method"] == "gradcam"]
    assert summary["pointing"]["gradcam"] == pytest.approx(gradcam["pointing"].mean())
    assert summary["energy_pointing"]["gradcam"] > summary["energy_pointing"]["fakecam"]  # the boxes' share of the area


def test_metrics_that_need_boxes_are_refused_where_no_image_has_one(tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("imagenet_12_741\n")
    with pytest.raises(
        CamsbenchError, match=r"metric=pointing needs boxes, and none of the 1 images has one: use data"
    ):
        build(compose_config(["metric=[drop,pointing]", f"data.subset='{tmp_path}/ids.txt'", "runtime.device=cpu"]))


def test_a_wrong_tolerance() -> None:
    with pytest.raises(ValueError, match=r"tolerance is 0: give whole pixels from 1 up; metric=pointing has no"):
        PointingWithin(0)
    made = make_metrics(compose_config(["metric=pointing_15px", "metric.pointing_15px.tolerance=20"]))
    assert [column.name for column in columns_of(made["pointing_15px"])] == ["pointing_20px"]
