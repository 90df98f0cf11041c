"""Boxes on their way from the data, or from a caller, to the metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from quick import QUICK
from torch import Tensor

import camsbench
from camsbench import CamsbenchError
from camsbench.config.build import build
from camsbench.config.compose import compose_config
from camsbench.core import scoring
from camsbench.core.boxes import Boxes, clip_boxes
from camsbench.core.explained import Explained
from camsbench.data.embedded import samples
from camsbench.data.loader import batches, read
from camsbench.data.masks import RunLengthMask
from camsbench.models.split import TorchSplit
from camsbench.run.runner import run
from camsbench.store.folder import RunFolder


@dataclass
class Seen:
    """A metric that notes the boxes it is given."""

    columns: ClassVar[Mapping[str, str]] = {"seen": "higher"}
    boxes: list[Boxes] = field(default_factory=list)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        self.boxes.append(explained.forward.boxes)
        return {"seen": torch.zeros(len(explained.raw))}


def test_an_unreadable_image_does_not_shift_the_boxes_of_the_others(lite0: TorchSplit, tmp_path: Path) -> None:
    records = samples()
    broken = replace(records[1], source=tmp_path / "none.jpg")
    (batch,) = batches([records[0], broken, records[2]], [[0, 1, 2]], lite0.preprocess, 0, pin=False)
    assert batch.places == [0, 2]
    assert batch.boxes == tuple(tuple(read(records[i], lite0.preprocess).boxes) for i in (0, 2))


def test_every_metric_of_a_run_sees_the_boxes_of_its_images(tmp_path: Path) -> None:
    choices = ["method=[gradcam,fakecam]", "data.limit=4", "++limits.fakecam=3", "runtime.batch_size=2"]
    seen = Seen()
    job = build(compose_config([*QUICK, "protocol.resize=110", *choices]))
    job = replace(job, metrics={"seen": seen})
    cropped_away = replace(job.records[0], boxes=(*job.records[0].boxes, (0.0, 0.0, 0.001, 0.001)))
    job = replace(job, records=[cropped_away, *job.records[1:]])
    folder = RunFolder(tmp_path)
    with folder.locked():
        account = run(job, folder)
    assert (account.boxes, account.dropped) == (sum(len(record.boxes) for record in job.records), 1)
    carried = [tuple(read(record, job.split.preprocess).boxes) for record in job.records]
    assert all(carried)
    assert seen.boxes == [(carried[0], carried[1])] * 2 + [(carried[2], carried[3]), (carried[2],)]


def test_an_image_with_a_mask_keeps_its_boxes_as_outlines(tmp_path: Path) -> None:
    """Its pixels are the mask's alone; what is measured of boxes has them all the same."""

    @dataclass
    class Outlines(Seen):
        def __call__(self, explained: Explained) -> dict[str, Tensor]:
            self.boxes += [explained.forward.boxes, explained.forward.outlines]
            return {"seen": torch.zeros(len(explained.raw))}

    seen = Outlines()
    job = build(compose_config([*QUICK, "method=fakecam", "data.limit=2"]))
    with job.records[0].source.open("rb") as file, Image.open(file) as picture:
        width, height = picture.size
    masked = replace(job.records[0], mask=RunLengthMask((0, width * height), width, height))
    job = replace(job, metrics={"seen": seen}, records=[masked, job.records[1]])
    folder = RunFolder(tmp_path)
    with folder.locked():
        run(job, folder)
    first, second = (tuple(read(record, job.split.preprocess).boxes) for record in job.records)
    assert seen.boxes == [((), second), (first, second)]


def test_selecting_images_selects_their_boxes(tiny: TorchSplit, tiny_x: Tensor) -> None:
    forward = scoring.forward(tiny, tiny_x.expand(3, -1, -1, -1), None, (0, 1, 2))
    assert forward.select([2]).boxes == ()  # unknown stays unknown
    boxes: Boxes = (((0, 0, 1, 1),), (), ((1, 1, 2, 2), (0, 1, 1, 2)))
    chosen = replace(forward, boxes=boxes, outlines=boxes).select([2, 1])
    assert chosen.boxes == chosen.outlines == (boxes[2], boxes[1])


def test_a_caller_s_boxes_are_clipped_and_those_outside_dropped(lite0: TorchSplit, images: Tensor) -> None:
    seen = Seen()
    given: Any = [[(-5, 10, 300, 20.5), (96, 0, 102, 5)], torch.tensor([[1, 2, 3, 4]])]
    camsbench.evaluate("fakecam", lite0, images[:2], metrics=[seen], boxes=given)
    camsbench.evaluate("fakecam", lite0, images[:2], metrics=[seen])
    assert seen.boxes == [(((0, 10, 96, 20.5),), ((1, 2, 3, 4),)), ()]


@pytest.mark.parametrize(
    ("boxes", "sentence"),
    [
        ([[]], r"boxes must hold one list of boxes for each of the 2 images"),
        ([1.0, 2.0], r"boxes must hold one list of boxes for each of the 2 images"),
        ([[], [(1, 2, 3)]], r"boxes\[1\] holds \(1, 2, 3\): give each box as \(xmin, ymin, xmax, ymax\)"),
        ([[(5, 0, 5, 9)], []], r"boxes\[0\] .* xmin < xmax"),
        ([[(0, float("nan"), 5, 9)], []], r"boxes\[0\]"),
        ([[7], []], r"boxes\[0\] holds 7"),
        ([[("a", 0, 1, 1)], []], r"boxes\[0\]"),
    ],
)
def test_boxes_that_are_none_are_refused(boxes: Any, sentence: str) -> None:
    with pytest.raises(CamsbenchError, match=sentence):
        clip_boxes(boxes, 2, 224, 224)
