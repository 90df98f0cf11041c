"""Masks of ImageNet-S, by hand: a folder of its form, through a configuration and the crop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camsbench import CamsbenchError
from camsbench.config.compose import compose_config
from camsbench.config.images import add_boxes, choose_images
from camsbench.config.instantiate import make_metrics
from camsbench.core.preprocess import Preprocess
from camsbench.data.checks import check_places
from camsbench.data.classes import wnids
from camsbench.data.loader import read
from camsbench.data.masks import NumberedMask
from camsbench.data.record import Record
from camsbench.store.manifest import hash_boxes

FIFTY = list(wnids())[:1000:20]  # of the subset of 50 classes: the indices 0, 20, 40, ...
FULL = Preprocess(resize=[12, 16], crop=[12, 16], interpolation="bilinear", mean=[0.5] * 3, std=[0.25] * 3)
A, B, C, D = (f"ILSVRC2012_val_{number:08d}" for number in range(1, 5))


def draw(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def numbered(*regions: tuple[int, slice, slice]) -> np.ndarray:
    """A picture of 16x12 pixels whose regions have these numbers, by ImageNet-S's code."""
    made = np.zeros((12, 16, 3), dtype=np.uint8)
    for number, rows, columns in regions:
        made[rows, columns] = number % 256, number // 256, 0
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images of classes 0, 20, 980 and 1, which the subset has not; all but the third, and one more, drawn out."""
    top = tmp_path / "ImageNetS50"
    for name, index in ((A, 0), (B, 20), (C, 980), (D, 1)):
        draw(top / "validation" / list(wnids())[index] / f"{name}.JPEG", np.full((12, 16, 3), 90, dtype=np.uint8))
    for wnid in FIFTY:
        (top / "validation-segmentation" / wnid).mkdir(parents=True)
    whole = slice(None)
    mask = numbered((1, slice(2, 5), slice(4, 14)), (2, slice(7, 9), whole), (1000, whole, slice(15, 16)))
    for name, wnid in ((A, FIFTY[0]), (B, FIFTY[1]), (D, FIFTY[0])):
        draw(top / "validation-segmentation" / wnid / f"{name}.png", mask)
    return top


def records(root: Path, *options: str) -> list[Record]:
    cfg = compose_config(["data=ilsvrc2012", f"data.root='{root}'", "metric=[iou]", *options])
    metrics = make_metrics(cfg)
    found = add_boxes(cfg.data, choose_images(cfg.data), metrics)
    check_places(found, {f"metric={name}": getattr(metric, "needs", frozenset()) for name, metric in metrics.items()})
    return found


@pytest.mark.parametrize("inside", ["", "validation"])
def test_masks_are_found_beside_the_images_and_show_the_label_s_pixels(root: Path, inside: str) -> None:
    """1 is the first class, 2 the second, wherever they are in the thousand; what is ignored is outside of both."""
    found = {record.image_id: record for record in records(root / inside)}
    assert {one: record.mask is not None for one, record in found.items()} == {A: True, B: True, C: False, D: False}
    first, second = (read(found[one], FULL).mask for one in (A, B))
    expected = np.zeros((2, 12, 16), dtype=bool)
    expected[0, 2:5, 4:14] = True
    expected[1, 7:9, :15] = True
    np.testing.assert_array_equal(first, expected[0])
    np.testing.assert_array_equal(second, expected[1])
    assert len({hash_boxes(found[one]) for one in (A, B, C)}) == 3


def test_numbers_above_255_stand_in_the_green(tmp_path: Path) -> None:
    file = tmp_path / "mask.png"
    draw(file, numbered((919, slice(0, 1), slice(0, 2)), (919 - 768, slice(1, 2), slice(0, 2))))
    inside = NumberedMask(file, 919).pixels(16, 12)
    assert (inside.sum(), inside[0, :2].all()) == (2, True)
    with pytest.raises(ValueError, match="it is of 16x12 pixels, and the picture of 12x16"):
        NumberedMask(file, 919).pixels(12, 16)
    draw(file, np.zeros((12, 16), dtype=np.uint8))
    with pytest.raises(ValueError, match="it is L: give one of colours"):
        NumberedMask(file, 919).pixels(16, 12)


def test_masks_may_lie_elsewhere_or_be_left_out(root: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (root / "validation-segmentation").rename(elsewhere)
    with pytest.raises(CamsbenchError, match="metric=iou needs boxes, and none of the 4 images has one"):
        records(root)
    assert sum(record.mask is not None for record in records(root, f"data.masks='{elsewhere}'")) == 2
    elsewhere.rename(root / "validation-segmentation")
    with pytest.raises(CamsbenchError, match="metric=iou needs boxes"):
        records(root, "data.masks=null")


def test_a_folder_that_lacks_classes_is_refused(root: Path) -> None:
    """Without all of them nothing says which number is which class."""
    (root / "validation-segmentation" / FIFTY[-1]).rmdir()
    with pytest.raises(CamsbenchError, match=r"it has folders of 49 classes, and ImageNet-S of 919 .*data.masks=null"):
        records(root)


def test_masks_of_other_images_are_refused(root: Path) -> None:
    for file in (root / "validation-segmentation").rglob("*.png"):
        file.unlink()
    with pytest.raises(CamsbenchError, match=f"has masks of none of the 4 images, whose first is {A}"):
        records(root, f"data.masks='{root}/validation-segmentation'")
    with pytest.raises(CamsbenchError, match="this is a file; give the folder validation-segmentation"):
        records(root, f"data.masks='{root}/validation/{FIFTY[0]}/{A}.JPEG'")
