"""Whose class a class of the data is in a network, and what a run takes of images of several labels or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from camsbench import CamsbenchError
from camsbench.data import imagenet
from camsbench.data.asked import of_class, once_a_label, once_an_image, without_places
from camsbench.data.checks import check_labels
from camsbench.data.classes import class_index
from camsbench.data.masks import RunLengthMask
from camsbench.data.matching import match, relabel
from camsbench.data.record import Place, Record
from camsbench.data.selection import select
from camsbench.store import manifest

BOX, OTHER = (1.0, 1.0, 3.0, 3.0), (2.0, 2.0, 4.0, 4.0)
MASK = RunLengthMask((0, 6, 42), 8, 6)


def image(one: str, label: int | None = None, several: dict[int, Place] | None = None) -> Record:
    return Record(one, Path(f"{one}.png"), label, (BOX,) if label is not None else (), several=several or {})


ONE = image("one", 0)
TWO = image("two", several={1: Place((BOX,), MASK), 0: Place((OTHER,))})
NONE = image("none")


def test_names_are_matched_exactly_and_then_by_their_letters() -> None:
    names = ["cat", "Cat", "sea-lion", "Great White Shark"]
    assert match(["Cat", "Sea_Lion", "great white  shark", "cat"], names, 4, None, "net") == [1, 2, 3, 0]
    assert match([], names, 4, None, "net") == []


@pytest.mark.parametrize(
    ("found", "names", "count", "says"),
    [
        (["cart"], ["cat", "dog"], 2,
         r"class 'cart' of the data is none of the 2 classes of net; near are cat: rename .*model\.classes=FILE"),
        (["CAT"], ["cat", "Cat"], 2, r"class 'CAT' of the data is the name of 2 classes of net, 0 \(cat\), 1"),
        (["cat", "Cat"], ["cat", "dog"], 2, "classes cat and Cat of the data are both class 0 of net"),
        (["cat"], ["cat", "dog"], 3, "net has 3 classes, and 2 names of classes: give one name a class"),
        (["a", "b"], [], 3, r"the data have 2 classes and net 3, whose names are unknown, .* model\.classes=FILE"),
        (["0", "1", "10", "2"], [], 4, r"in the order 0, 1, 10, 2, .*'2' would be class 3 of net: say with model"),
        (["1", "2"], [], 2, "'2' would be class 1 of net"),
    ],
)  # fmt: skip
def test_classes_that_nothing_matches_are_refused(
    found: Sequence[str], names: Sequence[str], count: int, says: str
) -> None:
    with pytest.raises(CamsbenchError, match=says):
        match(found, names, count, None, "net")


def test_a_network_without_names_has_the_classes_in_order() -> None:
    assert match(["ants", "bees"], [], 2, None, "net") == [0, 1]
    assert match(["0", "1", "2"], [], 3, None, "net") == [0, 1, 2]
    assert match(["00", "01"], [], 2, None, "net") == [0, 1]


def test_imagenets_names_and_wnids_are_known() -> None:
    assert match(["n01440764", "Samoyed", "7"], [], 1000, class_index, "net") == [0, 258, 7]
    with pytest.raises(CamsbenchError, match=r"class 'samoyeed' of the data is no class of net \(.*samoyed.*rename"):
        match(["samoyeed"], [], 1000, class_index, "net")
    with pytest.raises(CamsbenchError, match="class 'x' of the data would be class 9 of net, which has 2"):
        match(["x"], [], 2, lambda _: 9, "net")


def test_labels_become_the_networks() -> None:
    one, two, none = relabel([ONE, TWO, NONE], [7, 5])
    assert (one.label, one.boxes) == (7, (BOX,))
    assert two.several == {5: Place((BOX,), MASK), 7: Place((OTHER,))}
    assert none == NONE


def test_an_image_once_a_label() -> None:
    found, left = once_a_label([ONE, TWO, NONE])
    assert [(r.image_id, r.label, r.boxes, r.mask, dict(r.several)) for r in found] == [
        ("one", 0, (BOX,), None, {}),
        ("two:1", 1, (BOX,), MASK, {}),
        ("two:0", 0, (OTHER,), None, {}),
    ]
    assert [each.sentence() for each in left] == ["Left out: images without a label (1), the first is none."]
    with pytest.raises(CamsbenchError, match="two images have the id two:0"):
        once_a_label([TWO, image("two:0", 0)])


def test_an_image_once_for_a_class_has_that_classes_places() -> None:
    one, two, none = of_class([ONE, TWO, NONE], 1)
    assert (one.label, one.boxes) == (0, ())
    assert (two.label, two.boxes, two.mask, two.labels) == (None, (BOX,), MASK, (1, 0))
    assert (none.boxes, none.mask) == ((), None)
    assert of_class([ONE], 0) == [ONE]
    assert once_an_image([TWO], 1) == [two]


def test_places_of_no_known_label_are_none_for_a_predicted_class() -> None:
    unlabelled = Record("boxed", Path("boxed.png"), None, (BOX,), mask=MASK)
    one, two, boxed = without_places([ONE, TWO, unlabelled])
    assert one == ONE
    assert (two.boxes, two.several) == ((), {1: Place(), 0: Place()})
    assert (boxed.boxes, boxed.mask) == ((), None)
    assert once_an_image([TWO], None) == [two]


def ids(records: Sequence[Record]) -> list[str]:
    return [record.image_id for record in records]


def test_classes_are_chosen_by_name_where_they_have_names() -> None:
    names = ["cat", "dog"]
    records = [ONE, image("three", 1), TWO, NONE]
    assert ids(select(records, classes=["dog"], class_names=names)) == ["three", "two"]
    assert ids(select(records, classes=["dog", "cat"], class_names=names)) == ["three", "two", "one"]
    assert ids(select(records, classes=[1])) == ["three", "two"]
    with pytest.raises(CamsbenchError, match=r"'dig' is none of the 2 class names .*near are dog"):
        select(records, classes=["dig"], class_names=names)
    with pytest.raises(CamsbenchError, match="'1' is none of the 2 class names of these data, which their classes are"):
        select(records, classes=[1], class_names=names)
    with pytest.raises(CamsbenchError, match="'dog' is no class index, and these data's classes have no names here"):
        select(records, classes=["dog"])
    with pytest.raises(CamsbenchError, match=r"give a list of different class names, such as \[cat\]"):
        select(records, classes="dog", class_names=names)
    with pytest.raises(CamsbenchError, match="class cow has no image in the data"):
        select(records, classes=["cow"], class_names=[*names, "cow"])


def test_the_first_of_each_class_count_images_of_several_labels_for_each() -> None:
    records = [ONE, TWO, image("three", 1), image("four", 0), image("five", 2)]
    assert ids(select(records, per_class=1)) == ["one", "two", "five"]
    assert ids(select([*records, NONE], per_class=1, classes=[1])) == ["two"]
    with pytest.raises(CamsbenchError, match=r"data\.per_class=1: image none has no label, so that it is of no class"):
        select([*records, NONE], per_class=1)


def test_every_label_must_be_a_class_of_the_network() -> None:
    check_labels([ONE, TWO, NONE], 2, "net")
    with pytest.raises(CamsbenchError, match="label 1 of image two is outside the 1 classes of net"):
        check_labels([ONE, TWO, NONE], 1, "net")


def test_a_manifest_of_images_without_labels(tmp_path: Path) -> None:
    for records in ([NONE], [ONE, TWO, NONE]):
        made = manifest.of_records(records, boxes=True)
        made.to_csv(tmp_path / "manifest.csv", index=False)
        kept = manifest.read(tmp_path / "manifest.csv")
        assert kept["label"].isna().tolist() == [record.label is None for record in records]
        assert manifest.added(kept, made, tmp_path, set)["boxes"].tolist() == made["boxes"].tolist()


def put(root: Path, *names: str) -> str:
    for name in names:
        (root / name).write_bytes(b"")
    return str(root)


def test_wnids_before_the_names_of_images(tmp_path: Path) -> None:
    root = put(tmp_path, "n01440764_tench.JPEG", "n01443537_10026.JPEG", "n01440764_a.tif")
    found = imagenet.find(root)
    assert [(r.image_id, r.label) for r in found] == [("n01440764_tench", 0), ("n01443537_10026", 1)]
    assert (found.layout, found.labels) == ("named", "the wnids before the images' names")
    assert [each.count for each in found.left_out] == [1]
    put(tmp_path, "b.JPEG")
    with pytest.raises(
        CamsbenchError, match=r"2 of its 3 images have the class's wnid .*, and b\.JPEG has none: rename"
    ):
        imagenet.find(root)
    (tmp_path / "val.txt").write_text("b 5\nn01440764_tench 7\n")
    assert imagenet.find(root).layout == "flat"
    (tmp_path / "b.JPEG").unlink()
    assert [r.label for r in imagenet.find(root, layout="named")] == [0, 1]
    put(tmp_path, "n99999999_c.JPEG")
    with pytest.raises(CamsbenchError, match=r"n99999999_c\.JPEG: n99999999 is no wnid of ILSVRC2012"):
        imagenet.find(root, layout="named")
