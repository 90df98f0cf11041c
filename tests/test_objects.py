"""Boxes and masks of COCO's and VOC's forms, by hand: from their files through the crop into a batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from camsbench import CamsbenchError
from camsbench.core.preprocess import Preprocess
from camsbench.data.coco import coco
from camsbench.data.found import FoundImages
from camsbench.data.loader import batches, read
from camsbench.data.masks import AnyMask, PictureMask, PolygonMask, RunLengthMask, decode, together
from camsbench.data.polygons import fill
from camsbench.data.record import Record
from camsbench.data.voc import CLASSES, voc
from camsbench.store.manifest import hash_boxes

PLAIN = Preprocess(resize=[6, 8], crop=[6, 8], interpolation="bilinear", mean=[0.5], std=[0.25])
HALF = Preprocess(resize=4, crop=4, interpolation="bilinear", mean=[0.5], std=[0.25])  # of 16x8: 8x4, and its middle


def draw(path: Path, pixels: np.ndarray | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8), 90, dtype=np.uint8) if pixels is None else pixels).save(path, **options)
    return path


def left(found: FoundImages) -> list[str]:
    return [each.sentence() for each in found.left_out]


def region(height: int, width: int, rows: slice, columns: slice) -> np.ndarray:
    made = np.zeros((height, width), dtype=bool)
    made[rows, columns] = True
    return made


def test_runs_of_pixels_by_hand() -> None:
    """Down the first column 7 outside, 3 inside, ...: rows 1 to 3 of columns 1 to 5, of a picture of 6x8."""
    rectangle = region(6, 8, slice(1, 4), slice(1, 6))
    counts = (7, 3, 3, 3, 3, 3, 3, 3, 3, 3, 14)
    np.testing.assert_array_equal(RunLengthMask(counts, 8, 6).pixels(8, 6), rectangle)
    assert decode("7330000000;") == list(counts)  # as pycocotools 2.0 writes them
    np.testing.assert_array_equal(RunLengthMask("7330000000;", 8, 6).pixels(8, 6), rectangle)
    corner = RunLengthMask("=33000:N", 7, 6).pixels(7, 6)  # with a difference below 0
    np.testing.assert_array_equal(
        corner, region(6, 7, slice(1, 4), slice(2, 5)) | region(6, 7, slice(5, 6), slice(6, 7))
    )


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((7, 3), "its runs are of 10 pixels, and the picture has 48"),
        ((50, -2), "its runs are of 48 pixels"),
        ("7330000000", "its runs are of 34 pixels"),
        ("P", "its runs end in the middle"),
        (" ", "have the character ' '"),
    ],
)
def test_runs_that_fill_no_picture_are_an_error(counts: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        RunLengthMask(counts, 8, 6).pixels(8, 6)


def test_polygons_are_those_of_pycocotools() -> None:
    """A rectangle by hand, and a triangle as pycocotools 2.0 fills it."""
    np.testing.assert_array_equal(fill([1, 1, 6, 1, 6, 4, 1, 4], 8, 6), region(6, 8, slice(1, 4), slice(1, 6)))
    triangle = ["........", "..###...", "..####..", "..###...", "...#....", "........"]
    expected = np.array([[letter == "#" for letter in row] for row in triangle])
    np.testing.assert_array_equal(fill([1.5, 0.5, 6.2, 2, 3, 5.5], 8, 6), expected)
    np.testing.assert_array_equal(fill([-3, -3, 20, -3, 20, 20, -3, 20], 8, 6), np.ones((6, 8), dtype=bool))
    with pytest.raises(ValueError, match="a polygon has 4 numbers"):
        fill([1, 1, 2, 2], 8, 6)
    two = PolygonMask(((0, 0, 2, 0, 2, 2, 0, 2), (4, 4, 6, 4, 6, 6, 4, 6)), 8, 6)
    assert two.pixels(8, 6).sum() == 8


def test_a_mask_of_several_objects() -> None:
    one, two = RunLengthMask((0, 6, 42), 8, 6), RunLengthMask((42, 6), 8, 6)
    both = together([one, two])
    assert isinstance(both, AnyMask)
    assert both.pixels(8, 6).sum() == 12
    assert (together([one]), together([one, None]), together([])) == (one, None, None)
    assert str(both) == f"{one} or {two}"
    assert str(one) != str(two)


def test_masks_in_pictures(tmp_path: Path) -> None:
    grey = np.zeros((6, 8), dtype=np.uint8)
    grey[1:3, 2:5] = 1
    grey[4] = 255
    file = draw(tmp_path / "mask.png", grey)
    np.testing.assert_array_equal(PictureMask(file).pixels(8, 6), grey > 0)
    np.testing.assert_array_equal(PictureMask(file, frozenset({1})).pixels(8, 6), grey == 1)
    draw(tmp_path / "colour.png", np.stack([grey, grey * 0, grey * 0], 2))
    np.testing.assert_array_equal(PictureMask(tmp_path / "colour.png").pixels(8, 6), grey > 0)
    draw(tmp_path / "one.png", grey > 0)
    np.testing.assert_array_equal(PictureMask(tmp_path / "one.png").pixels(8, 6), grey > 0)
    deep = draw(tmp_path / "deep.png", grey.astype(np.uint16) * 256)  # its low bytes are all 0
    np.testing.assert_array_equal(PictureMask(deep).pixels(8, 6), grey > 0)
    white_first = Image.fromarray((grey == 0).astype(np.uint8)).convert("P")
    white_first.putpalette([255, 255, 255, 0, 0, 0])
    white_first.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(PictureMask(tmp_path / "palette.png").pixels(8, 6), grey > 0)


def test_pictures_that_are_no_masks_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it is of 8x6 pixels, and the picture of 6x8"):
        PictureMask(draw(tmp_path / "a.png")).pixels(6, 8)
    with pytest.raises(ValueError, match="it is a JPEG, whose pixels at the edges are mixed"):
        PictureMask(draw(tmp_path / "a.jpg")).pixels(8, 6)
    colour = draw(tmp_path / "c.png", np.zeros((6, 8, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="it is RGB: give one of a palette"):
        PictureMask(colour, frozenset({1})).pixels(8, 6)
    with pytest.raises(ValueError, match="it has transparent pixels"):
        PictureMask(draw(tmp_path / "t.png", np.zeros((6, 8, 4), dtype=np.uint8))).pixels(8, 6)


def test_a_mask_goes_through_the_crop_into_a_batch(tmp_path: Path) -> None:
    """Of 16x8 pixels the shorter side becomes 4, and the middle four of eight columns stay: columns 4 to 11 of old."""
    picture = draw(tmp_path / "a.png", np.full((8, 16), 90, dtype=np.uint8))
    inside = np.zeros((8, 16), dtype=np.uint8)
    inside[2:4, 6:16] = 255
    mask = PictureMask(draw(tmp_path / "mask.png", inside))
    other = PictureMask(draw(tmp_path / "other.png"))
    records = [Record("a", picture, 0, ((6, 2, 16, 4),), mask=mask), Record("b", picture, 0),
               Record("c", picture, 0, mask=other), Record("d", picture, 0, mask=PictureMask(tmp_path / "gone.png")),
               Record("e", picture, 0, mask=RunLengthMask((7,), 16, 8))]  # fmt: skip
    (batch, plain) = batches(records, [[0, 1, 2, 3, 4], [1]], HALF, 0, pin=False)
    assert batch.places == [0, 1]
    assert batch.masks is not None
    assert batch.masks.dtype == torch.bool
    np.testing.assert_array_equal(batch.masks[0], region(4, 4, slice(1, 2), slice(1, 4)))
    assert list(batch.boxes[0]) == [(1, 1, 4, 2)]
    assert not batch.masks[1].any()
    assert batch.failed == {
        2: "cannot read the mask other.png: ValueError: it is of 8x6 pixels, and the picture of 16x8",
        3: "cannot read the mask gone.png: FileNotFoundError: [Errno 2] No such file or directory: 'gone.png'",
        4: "cannot read the mask of a.png: ValueError: its runs are of 7 pixels, and the picture has 128",
    }
    assert plain.masks is None
    assert read(records[1], HALF).mask is None


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("one.png", "two.png", "three.png"):
        draw(tmp_path / "images" / name)
    return tmp_path / "images"


SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]


def annotated(images: Path, /, *annotations: dict[str, Any], **changed: Any) -> FoundImages:
    said: dict[str, Any] = {
        "images": [{"id": 5 + i, "file_name": f"{name}.png", "width": 8, "height": 6}
                   for i, name in enumerate(("one", "two", "three"))],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [{"id": i, "image_id": 5, "category_id": 18, "bbox": [1, 1, 2, 2], "iscrowd": 0} | one
                        for i, one in enumerate(annotations)],
    }  # fmt: skip
    (images.parent / "said.json").write_text(json.dumps(said | changed))
    return coco(str(images.parent / "said.json"), str(images))


def test_the_form_of_coco(images: Path) -> None:
    """Classes by their ids, boxes of a corner and sides, a label's mask of all its objects, crowds left out."""
    runs = {"size": [6, 8], "counts": [0, 6, 42]}
    found = annotated(
        images,
        {"segmentation": [SQUARE], "bbox": [1, 1, 2, 2.5]},
        {"segmentation": runs, "bbox": [0, 0, 1, 6]},
        {"category_id": 3, "bbox": [4, 4, 2, 2], "segmentation": [SQUARE]},
        {"category_id": 3},
        {"image_id": 6, "category_id": 3},
        {"image_id": 7, "iscrowd": 1, "segmentation": runs},
        {"image_id": 7, "bbox": [1, 1, 0, 2]},
    )
    one, two, three = found
    assert found.class_names == ("car", "dog")
    assert [r.image_id for r in found] == ["one", "two", "three"]
    assert {label: place.boxes for label, place in one.several.items()} == {
        0: ((4, 4, 6, 6), (1, 1, 3, 3)),
        1: ((1, 1, 3, 3.5), (0, 0, 1, 6)),
    }
    assert (one.label, two.label, two.boxes, two.several) == (None, 0, ((1, 1, 3, 3),), {})
    assert (three.label, three.boxes, three.several, three.labels) == (None, (), {}, ())
    dogs = one.several[1].mask
    assert dogs is not None
    np.testing.assert_array_equal(
        dogs.pixels(8, 6), region(6, 8, slice(0, 6), slice(0, 1)) | region(6, 8, slice(1, 3), slice(1, 3))
    )
    assert one.several[0].mask is None
    assert left(found) == [
        "Left out: annotations of crowds (1), the first is annotation 5.",
        "Left out: annotations of boxes without area (1), the first is annotation 6.",
        "Left out: masks of labels of which not every object has one (1), the first is one.",
    ]


@pytest.mark.parametrize(
    ("annotation", "changed", "says"),
    [
        ({}, {"images": 3}, "has no list 'images', so it is not of COCO's form"),
        ({}, {"categories": [{"id": 3}]}, "entry 0 of 'categories' has no name"),
        ({"image_id": 99}, {}, "annotation 0 has the image_id 99, which the file does not have"),
        ({"category_id": 99}, {}, "annotation 0 has the category_id 99, which the file does not have"),
        ({"bbox": [1, 2, 3]}, {}, r"the bbox of annotation 0 is \[1, 2, 3\] and not x, y, width, height"),
        ({}, {"categories": [{"id": 3, "name": "a"}, {"id": 3, "name": "b"}]}, "the category id 3 stands 2 times"),
        ({}, {"categories": [{"id": 3, "name": "a"}, {"id": 18, "name": "a"}]}, "the category name a stands 2 times"),
        ({}, {"images": [{"id": 5, "file_name": "one.png"}, {"id": 6, "file_name": "gone.png"}]},
         r"its images: 1 of 2 are not below .*, the first is gone\.png: give the folder"),
        ({}, {"images": [{"id": 5, "file_name": "one.png", "width": 6, "height": 8}]},
         r"says that one\.png is of 6x8 pixels, and it is of 8x6: boxes and masks are of other pictures"),
    ],
)  # fmt: skip
def test_a_coco_file_that_is_not_as_due(annotation: Any, changed: Any, says: str, images: Path) -> None:
    with pytest.raises(CamsbenchError, match=says):
        annotated(images, annotation, **changed)


def test_what_is_no_coco_file_is_refused(images: Path) -> None:
    (images / "said.json").write_text("{")
    with pytest.raises(CamsbenchError, match=r"said\.json is no JSON that can be read"):
        coco(str(images / "said.json"), str(images))


def an_object(name: str, box: Sequence[float], difficult: int = 0) -> str:
    sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    said = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    part = "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>"
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{said}</bndbox>{part}</object>"


def annotate(root: Path, one: str, *objects: str, width: int = 8) -> None:
    draw(root / "JPEGImages" / f"{one}.jpg")
    (root / "Annotations").mkdir(exist_ok=True)
    size = f"<size><width>{width}</width><height>6</height></size>"
    (root / "Annotations" / f"{one}.xml").write_text(f"<annotation>{size}{''.join(objects)}</annotation>")
    (root / "ImageSets/Main").mkdir(parents=True, exist_ok=True)
    with (root / "ImageSets/Main/val.txt").open("a") as lines:
        lines.write(f"{one}\n")


def test_the_form_of_voc(tmp_path: Path) -> None:
    """Boxes count from 1 with their last pixel inside: 2 to 4 are the three pixels 1, 2 and 3, up to 4."""
    annotate(tmp_path, "000001", an_object("dog", (2, 2, 4, 3)), an_object("cat", (1, 1, 8, 6), 1))
    annotate(tmp_path, "000002", an_object("dog", (1, 1, 1, 1)), an_object("dog", (2, 2, 4, 3), 1))
    annotate(tmp_path, "000003")
    palette = np.zeros((6, 8), dtype=np.uint8)
    palette[1:3, 1:4] = CLASSES.index("dog") + 1
    palette[3] = 255
    made = Image.fromarray(palette).convert("P")
    (tmp_path / "SegmentationClass").mkdir()
    made.putpalette([value % 256 for value in range(768)])
    made.save(tmp_path / "SegmentationClass/000001.png")
    found = voc(str(tmp_path))
    dog, cat = CLASSES.index("dog"), CLASSES.index("cat")
    assert (found.class_names, found.left_out) == (CLASSES, ())
    assert {label: place.boxes for label, place in found[0].several.items()} == {
        cat: ((0, 0, 8, 6),),
        dog: ((1, 1, 4, 3),),
    }
    mask = found[0].several[dog].mask
    assert mask is not None
    np.testing.assert_array_equal(mask.pixels(8, 6), region(6, 8, slice(1, 3), slice(1, 4)))
    assert read(replace(found[0], boxes=found[0].several[dog].boxes), PLAIN).boxes == [(1, 1, 4, 3)]
    assert (found[1].label, found[1].boxes, found[1].mask) == (dog, ((0, 0, 1, 1), (1, 1, 4, 3)), None)
    assert (found[2].label, found[2].several) == (None, {})
    easy = voc(str(tmp_path), difficult=False)
    assert [(r.label, r.boxes) for r in easy] == [(dog, ((1, 1, 4, 3),)), (dog, ((0, 0, 1, 1),)), (None, ())]
    assert left(easy) == ["Left out: difficult objects (2), the first is 000001."]


def test_a_voc_mask_that_holds_left_out_objects_is_none(tmp_path: Path) -> None:
    annotate(tmp_path, "a", an_object("dog", (2, 2, 4, 3)), an_object("dog", (5, 5, 6, 6), 1))
    draw(tmp_path / "SegmentationClass/a.png")
    found = voc(str(tmp_path), difficult=False)
    assert found[0].mask is None
    assert left(found)[1] == "Left out: masks that hold difficult objects (1), the first is a."


def test_classes_that_are_not_vocs(tmp_path: Path) -> None:
    """Their order is that of all annotations, not of those of the split alone."""
    annotate(tmp_path, "b", an_object("weld", (2, 2, 4, 3)))
    (tmp_path / "ImageSets/Main/train.txt").write_text("a\n")
    annotate(tmp_path, "a", an_object("crack", (2, 2, 4, 3)))
    (tmp_path / "ImageSets/Main/val.txt").write_text("b\n")
    draw(tmp_path / "SegmentationClass/b.png")
    draw(tmp_path / "JPEGImages/c.jpg")
    found = voc(str(tmp_path))
    assert (found.class_names, found[0].label, found[0].mask) == (("crack", "weld"), 1, None)
    assert left(found) == ["Left out: masks whose values are of classes that are not VOC's 20 (1), the first is b.png."]
    every = voc(str(tmp_path), split="all")
    assert [r.image_id for r in every] == ["a", "b"]
    assert left(every)[0] == "Left out: pictures without an annotation (1), the first is c."


def test_a_voc_folder_that_is_not_as_due(tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match="it has no folders JPEGImages and Annotations with files"):
        voc(str(tmp_path))
    annotate(tmp_path, "a", an_object("dog", (2, 2, 4, 3)))
    with pytest.raises(CamsbenchError, match=r"data\.split=test: .* has no such list; choose one of val, all"):
        voc(str(tmp_path), split="test")
    (tmp_path / "ImageSets/Main/dog_val.txt").write_text("a -1\n")
    with pytest.raises(CamsbenchError, match=r"dog_val\.txt has more than a name in a line"):
        voc(str(tmp_path), split="dog_val")
    (tmp_path / "ImageSets/Main/train.txt").write_text("a\nb\n")
    with pytest.raises(CamsbenchError, match="1 of 2 pictures are not in JPEGImages, the first is b: put them there"):
        voc(str(tmp_path), split="train")
    draw(tmp_path / "JPEGImages/b.jpg")
    with pytest.raises(CamsbenchError, match="1 of 2 annotations are not in Annotations, the first is b"):
        voc(str(tmp_path), split="train")
    annotate(tmp_path, "a", an_object("dog", (4, 2, 2, 3)))
    with pytest.raises(CamsbenchError, match=r"a\.xml is no PASCAL VOC file \(a box from 4,2 to 2,3\)"):
        voc(str(tmp_path))
    annotate(tmp_path, "a", an_object("", (1, 2, 2, 3)))
    with pytest.raises(CamsbenchError, match="an object without a name"):
        voc(str(tmp_path))
    annotate(tmp_path, "a", an_object("dog", (1, 2, 2, 3)), width=80)
    with pytest.raises(CamsbenchError, match=r"Annotations says that a\.jpg is of 80x6 pixels, and it is of 8x6"):
        voc(str(tmp_path))


def test_a_manifest_tells_masks_and_places_apart(tmp_path: Path) -> None:
    """The hash of boxes alone is as it ever was, and says nothing of the folder in which a mask lies."""
    plain = Record("a", tmp_path / "a.png", 0)
    boxed = replace(plain, boxes=((1.0, 2.0, 3.0, 4.0),))
    assert hash_boxes(plain) == "none"
    assert hash_boxes(boxed) == "d135b170"
    masks = [PictureMask(draw(tmp_path / place / "m.png")) for place in ("here", "there")]
    here, there = (hash_boxes(replace(boxed, mask=mask)) for mask in masks)
    assert here == there != hash_boxes(boxed)
    draw(tmp_path / "here/m.png", np.arange(48, dtype=np.uint8).reshape(6, 8))
    assert hash_boxes(replace(boxed, mask=masks[0])) != here
    one = RunLengthMask((0, 6, 42), 8, 6)
    assert hash_boxes(replace(plain, mask=one)) not in (
        "none",
        hash_boxes(replace(plain, mask=RunLengthMask((48,), 8, 6))),
    )
