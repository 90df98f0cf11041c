"""Images of one's own: a folder a class, pictures without labels, and tables; a sentence for whatever is not as due."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from PIL import Image
from torchvision.datasets import ImageFolder

from camsbench import CamsbenchError
from camsbench.config.paths import CONF
from camsbench.core.preprocess import Preprocess
from camsbench.data.class_folders import folder
from camsbench.data.coco import coco
from camsbench.data.found import FoundImages
from camsbench.data.loader import read
from camsbench.data.record import Cell
from camsbench.data.table import table
from camsbench.data.table_columns import KINDS
from camsbench.data.tabular import values
from camsbench.data.voc import voc

PLAIN = Preprocess(resize=8, crop=8, interpolation="bilinear", mean=[0.5], std=[0.25])


def draw(path: Path, width: int = 8, height: int = 8, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), value, dtype=np.uint8)).save(path)
    return path


def left(found: FoundImages) -> list[str]:
    return [each.sentence() for each in found.left_out]


def written(root: Path, text: str, name: str = "table.csv") -> str:
    (root / name).write_text(text)
    return str(root / name)


def labels(found: FoundImages) -> dict[str, int | None]:
    return {record.image_id: record.label for record in found}


COMMON = {"_target_", "subset", "draw", "shuffle", "limit", "classes", "per_class", "scale"}


@pytest.mark.parametrize("source", [folder, table, coco, voc], ids=lambda source: source.__name__)
def test_a_configuration_has_the_options_of_its_function(source: Callable[..., FoundImages]) -> None:
    node = OmegaConf.to_container(OmegaConf.load(CONF / "data" / f"{source.__name__}.yaml"))
    assert isinstance(node, dict)
    assert node["_target_"] == f"{source.__module__}.{source.__name__}"
    assert set(node) - set(inspect.signature(source).parameters) == COMMON
    for option, known in inspect.signature(source).parameters.items():
        if known.default is not inspect.Parameter.empty and option != "columns":
            assert node[option] == known.default
    assert source is not table or set(node["columns"]) == set(KINDS)


def test_class_folders_are_those_of_image_folder(tmp_path: Path) -> None:
    """Also where a string's order is not a number's, capitals come first, and images lie deeper."""
    for name in ("cat/b.png", "cat/a.jpg", "Zebra/1.png", "10/x.bmp", "2/deep/y.png", "2/deep/er/y.png", "2/z.tif"):
        draw(tmp_path / name)
    found, theirs = folder(str(tmp_path)), ImageFolder(str(tmp_path))
    assert found.class_names == tuple(theirs.classes) == ("10", "2", "Zebra", "cat")
    assert [(str(r.source), r.label) for r in found] == [(path, label) for path, label in theirs.samples]
    assert [r.image_id for r in found] == [
        *("10/x", "2/z", "2/deep/y", "2/deep/er/y", "Zebra/1", "cat/a", "cat/b"),
    ]
    assert (found.labels, found.left_out) == ("the folders' names", ())


def test_an_id_has_its_suffix_where_two_would_be_the_same(tmp_path: Path) -> None:
    for name in ("cat/a.jpg", "cat/a.png", "dog/a.png"):
        draw(tmp_path / name)
    assert [r.image_id for r in folder(str(tmp_path))] == ["cat/a.jpg", "cat/a.png", "dog/a"]
    draw(tmp_path / "cat/a.png.jpg")
    with pytest.raises(CamsbenchError, match=r"two images have the id cat/a\.png"):
        folder(str(tmp_path))


def test_what_a_folder_leaves_out_is_said(tmp_path: Path) -> None:
    for name in ("cat/a.png", "dog/b.png", "loose.png", "dog/c.gif", ".cache/d.png", "cat/.e.png"):
        draw(tmp_path / name)
    found = folder(str(tmp_path))
    assert [r.image_id for r in found] == ["cat/a", "dog/b"]
    assert left(found) == [
        "Left out: pictures beside the class folders, which have no class (1), the first is loose.png.",
        "Left out: hidden folders (1), the first is .cache.",
        "Left out: pictures that are none of .jpeg, .jpg, .png, .webp, .bmp, .tif, .tiff, .ppm, .pgm (1), the first is "
        "dog/c.gif.",
    ]


def test_pictures_without_folders_have_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.tiff", "a.jpg", "c.gif"):
        draw(tmp_path / name)
    found = folder(str(tmp_path))
    assert labels(found) == {"a.jpg": None, "a.tiff": None, "b": None}
    assert (found.class_names, found.labels) == ((), "none: the pictures are unlabelled")
    assert len(left(found)) == 1
    assert "c.gif" in left(found)[0]


def test_folders_that_are_no_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match="neither a class folder nor a picture"):
        folder(str(tmp_path))
    draw(tmp_path / "a.gif")
    with pytest.raises(CamsbenchError, match=r"nor a picture in it: .* pictures that are none of .*a\.gif"):
        folder(str(tmp_path))
    draw(tmp_path / "train/cat/a.png")
    draw(tmp_path / "val/cat/a.png")
    with pytest.raises(CamsbenchError, match=r"its folders are train, val, which are splits.*give one of them, .*/val"):
        folder(str(tmp_path))
    draw(tmp_path / "dog/a.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CamsbenchError, match=r"1 of its 4 class folders have no picture .*the first is empty: put"):
        folder(str(tmp_path))
    with pytest.raises(CamsbenchError, match="this is a file; give the folder of the images"):
        folder(str(draw(tmp_path / "one.png")))
    with pytest.raises(CamsbenchError, match="there is no such folder"):
        folder(str(tmp_path / "nowhere"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "in/c.png"):
        draw(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_a_table_of_class_names(kind: str, root: Path) -> None:
    """The order of the classes is that of the whole table, also of rows that are left out."""
    rows = [["path", "label", "split", "age"], ["b.png", "dog", "test", "61"], ["a.png", "cat", "test", ""],
            ["in/c.png", "ant", "train", "7"]]  # fmt: skip
    if kind == "parquet":
        made: Any = dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))
        made["age"] = pa.array([61.0, None, 7.0])
        pq.write_table(pa.table(made), root / "table.parquet")
    else:
        separator = "," if kind == "csv" else "\t"
        written(root, "\n".join(map(separator.join, rows)) + "\n", f"table.{kind}")
    found = table(str(root / f"table.{kind}"), where={"split": "test"})
    assert labels(found) == {"b": 2, "a": 1}
    assert found.class_names == ("ant", "cat", "dog")
    assert [r.cells for r in found] == [{"split": "test", "age": 61}, {"split": "test", "age": None}]
    assert left(found) == ["Left out: rows of another split than split is test (1), the first is row 3."]
    assert found.labels.startswith("the column 'label' of ")


def test_whole_numbers_are_indices(root: Path) -> None:
    found = table(written(root, "path,label\na.png,7\nb.png,\nin/c.png,10\n"))
    assert labels(found) == {"a": 7, "b": None, "in/c": 10}
    assert found.class_names == ()
    pq.write_table(pa.table({"path": ["a.png", "b.png"], "label": [3.0, None]}), root / "t.parquet")
    assert labels(table(str(root / "t.parquet"))) == {"a": 3, "b": None}


@pytest.mark.parametrize("wrong", ["-1", "007", "0.5"])
def test_a_number_that_is_no_index_is_refused(wrong: str, root: Path) -> None:
    with pytest.raises(
        CamsbenchError, match=rf"has {wrong}, which is neither a class index .*data\.columns\.value=label"
    ):
        table(written(root, f"path,label\na.png,{wrong}\nb.png,1\n"))


def test_several_labels_in_a_field(root: Path) -> None:
    found = table(written(root, "path,labels\na.png,dog; cat\nb.png,cat|cat\nin/c.png,\n"))
    assert labels(found) == {"a": None, "b": 0, "in/c": None}
    assert [list(r.several) for r in found] == [[1, 0], [], []]
    assert [r.labels for r in found] == [(1, 0), (0,), ()]
    assert found.class_names == ("cat", "dog")


def test_a_column_a_class(root: Path) -> None:
    text = "path,Edema,Atelectasis\na.png,1.0,1.0\nb.png,-1.0,1\nin/c.png,,0\n"
    found = table(written(root, text), label_columns=["Edema", "Atelectasis"])
    assert [r.labels for r in found] == [(0, 1), (1,), ()]
    assert found.class_names == ("Edema", "Atelectasis")
    assert left(found) == ["Left out: uncertain labels (-1), which count as none (1), the first is Edema of b.png."]
    with pytest.raises(CamsbenchError, match=r"'2' stands in the column 'Edema' of a\.png: write 1"):
        table(written(root, "path,Edema\na.png,2\n"), label_columns=["Edema"])
    with pytest.raises(CamsbenchError, match=r"data\.label_columns: .* has no column 'Oedema'; it has path, Edema"):
        table(written(root, "path,Edema\na.png,1\n"), label_columns=["Oedema"])
    with pytest.raises(CamsbenchError, match=r"the column 'label' and data\.label_columns both have labels"):
        table(written(root, "path,label,Edema\na.png,1,1\n"), label_columns=["Edema"])


def test_a_number_that_is_regressed_is_a_cell(root: Path) -> None:
    found = table(written(root, "path,years,site\na.png,61.5,x\nb.png,,y\n"), columns={"value": "years"})
    assert [(r.label, dict(r.cells)) for r in found] == [
        (None, {"site": "x", "value": 61.5}),
        (None, {"site": "y", "value": None}),
    ]
    assert found.labels == "none: the table has no labels"
    with pytest.raises(CamsbenchError, match="'old' stands in the column 'value' of row 2, which is of numbers"):
        table(written(root, "path,value\na.png,1\nb.png,old\n"))
    mixed = written(root, "path,value,split\na.png,1,test\nb.png,old,train\n")
    assert table(mixed, where={"split": "test"})[0].cells["value"] == 1
    with pytest.raises(CamsbenchError, match="rows of one image have different numbers in 'value'"):
        table(written(root, "path,value,xmin,ymin,xmax,ymax\na.png,1,0,0,4,4\na.png,2,1,1,4,4\n"))


def test_rows_of_boxes_come_together_by_label(root: Path) -> None:
    text = "path,label,xmin,ymin,xmax,ymax,doctor,note\na.png,dog,0,1,4,6,x,1\na.png,cat,2,2,8,8,x,2\n"
    text += "./a.png,dog,1,1,3,3,x,1\n"
    found = table(written(root, text + "b.png,cat,1,1,2,2,y,\nin/c.png,,,,,,z,\n"))
    first, second, third = found
    assert (first.label, first.boxes) == (None, ())
    assert {label: place.boxes for label, place in first.several.items()} == {
        1: ((0, 1, 4, 6), (1, 1, 3, 3)),
        0: ((2, 2, 8, 8),),
    }
    assert (second.label, second.boxes, second.several) == (0, ((1, 1, 2, 2),), {})
    assert (third.label, third.boxes, third.several) == (None, (), {})
    assert [dict(r.cells) for r in found] == [{"doctor": "x"}, {"doctor": "y"}, {"doctor": "z"}]
    assert left(found) == ["Left out: columns that differ among the rows of an image (1), the first is note."]


def test_boxes_by_corner_and_sides_and_without_labels(root: Path) -> None:
    found = table(written(root, "path,x,y,width,height\na.png,1,2,3,4\na.png,0,0,2,2\n"))
    assert list(found[0].boxes) == [(1, 2, 4, 6), (0, 0, 2, 2)]
    sized = table(written(root, "path,width,height,xmin,ymin,xmax,ymax\na.png,8,8,1,2,3,4\n"))
    assert (sized[0].boxes, sized[0].cells) == (((1, 2, 3, 4),), {"width": 8, "height": 8})


def test_boxes_in_fractions_are_said_to_be(root: Path) -> None:
    file = written(root, "path,xmin,ymin,xmax,ymax\na.png,0.25,0,0.5,1\n")
    with pytest.raises(CamsbenchError, match=r"look like fractions of the pictures' sides: say so with data\.relative"):
        table(file)
    assert read(table(file, relative=True)[0], PLAIN).boxes == [(2, 0, 4, 8)]
    with pytest.raises(CamsbenchError, match=r"data\.relative=true: a box of .* ends at 4: drop the option"):
        table(written(root, "path,xmin,ymin,xmax,ymax\na.png,0,0,4,1\n"), relative=True)


@pytest.mark.parametrize("box", ["1,2,1,4", "5,2,1,4", "1,,3,4", "1,2,3,many", "1,2,3,nan"])
def test_what_is_no_box_is_refused(box: str, root: Path) -> None:
    with pytest.raises(
        CamsbenchError, match=r"row 1, of a\.png, has the box .*, which is none: xmin, ymin, xmax, ymax"
    ):
        table(written(root, f"path,xmin,ymin,xmax,ymax\na.png,{box}\n"))


def test_masks_of_a_table(root: Path) -> None:
    draw(root / "mask.png", value=1)
    found = table(written(root, "path,label,mask\na.png,1,mask.png\nb.png,2,\n"))
    assert [r.mask is None for r in found] == [False, True]
    mask = read(found[0], PLAIN).mask
    assert mask is not None
    assert mask.all()
    both = table(written(root, "path,label,mask\na.png,1,mask.png\na.png,1,b.png\na.png,2,b.png\n"))[0]
    assert {label: str(place.mask) for label, place in both.several.items()} == {
        1: f"mask mask.png of {(root / 'mask.png').stat().st_size} bytes or mask b.png of "
        f"{(root / 'b.png').stat().st_size} bytes",
        2: f"mask b.png of {(root / 'b.png').stat().st_size} bytes",
    }
    with pytest.raises(CamsbenchError, match=r"masks: 1 of 2 are not below .*, the first is gone\.png"):
        table(written(root, "path,mask\na.png,mask.png\nb.png,gone.png\n"))
    with pytest.raises(CamsbenchError, match=r"of the rows of a\.png some have a mask and some none"):
        table(written(root, "path,mask,xmin,ymin,xmax,ymax\na.png,mask.png,0,0,4,4\na.png,,0,0,4,4\n"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,label\na.png,1\na.png,2\n", r"a\.png has 2 rows, and row 1 has neither box nor mask: .*data\.where"),
        ("path,labels,xmin,ymin,xmax,ymax\na.png,1;2,0,0,4,4\n", "several labels and a box or mask, and nothing says"),
        ("path,label,xmin,ymin,xmax,ymax\na.png,1,0,0,4,4\na.png,,0,0,4,4\n", "some have a label and some none"),
        ("path,label\na.png,1\ngone.png,2\nlost.png,2\n", r"images: 2 of 3 are not below .*, the first is gone\.png"),
        ("path,label\na.png,1\nin,2\n", r"1 of 2 are not below .*, the first is in: say with data\.root=DIR"),
        ("path,label\na.png,1\n,2\n", "row 2 has no path in the column 'path'"),
        ("file,label\na.png,1\n", r"data\.columns\.path=path: .* has no such column; it has file, label"),
        ("path,label,labels\na.png,1,1\n", "the column 'label' and the column 'labels' both have labels"),
        ("path,xmin,ymin,xmax\na.png,0,0,4\n", "a part of a box alone, and no column 'ymax'"),
        ("path,seed\na.png,0\n", "results have a column 'seed' of their own: rename that of the table$"),
        ("path,image_id\na.png,x\n", r"column 'image_id' of their own: .* data\.columns\.id=image_id"),
        ("path,label\na.png,1,9\n", "line 2 has 3 fields, and the head 2"),
        ("path,age,age\na.png,1,9\n", "the column 'age' stands there twice"),
        ("path,label\n", "has no row"),
        ('path,label\n"a.png,1\n', "cannot be read"),
    ],
)
def test_a_table_that_is_not_as_due_is_one_sentence(text: str, says: str, root: Path) -> None:
    with pytest.raises(CamsbenchError, match=says):
        table(written(root, text))


def test_options_of_a_table_that_are_wrong_are_one_sentence(root: Path) -> None:
    file = written(root, "path,label,split\na.png,1,test\n")
    with pytest.raises(CamsbenchError, match=r"data\.columns\.labels=finding: .* has no such column"):
        table(file, columns={"labels": "finding"})
    with pytest.raises(CamsbenchError, match=r"data\.columns\.colour: choose one of path, label"):
        table(file, columns={"colour": "x"})
    with pytest.raises(CamsbenchError, match="say which column has the paths"):
        table(file, columns={"path": None})
    with pytest.raises(CamsbenchError, match=r"data\.where\.fold: .* has no such column"):
        table(file, where={"fold": 1})
    with pytest.raises(CamsbenchError, match=r"has no such row; split has test"):
        table(file, where={"split": "val"})
    with pytest.raises(CamsbenchError, match=r"no \.csv, \.tsv or \.parquet"):
        table(written(root, "", "table.xlsx"))
    with pytest.raises(CamsbenchError, match="this is a folder; give a file in it"):
        table(str(root))
    (root / "t.parquet").write_bytes(b"none")
    with pytest.raises(CamsbenchError, match=r"t\.parquet cannot be read"):
        table(str(root / "t.parquet"))


def test_ids_of_a_table(root: Path) -> None:
    """Paths from elsewhere are named by their file alone, since a folder of a machine is no part of an id."""
    other = draw(root.parent / f"{root.name}-other" / "d.png")
    text = f"path,name\n{root}/in/c.png,one\n{other},two\n"
    assert [r.image_id for r in table(written(root, text))] == ["in/c", "d"]
    found = table(written(root, text), columns={"id": "name"})
    assert [(r.image_id, dict(r.cells)) for r in found] == [("one", {}), ("two", {})]
    with pytest.raises(CamsbenchError, match="two images have the id one"):
        table(written(root, text.replace("two", "one")), columns={"id": "name"})
    with pytest.raises(CamsbenchError, match="row 2 has no id in the column 'name'"):
        table(written(root, text.replace("two", "")), columns={"id": "name"})


def test_the_root_of_a_table(root: Path) -> None:
    assert labels(table(written(root, "path,label\nc.png,1\n"), root=str(root / "in"))) == {"c": 1}


@pytest.mark.parametrize(
    ("said", "values_"),
    [
        (["1", "", "-3"], [1, None, -3]),
        (["1", "2.5", "NaN"], [1.0, 2.5, None]),
        (["007", "8"], ["007", "8"]),
        (["True", "false"], [True, False]),
        (["1e3", ".5"], [1000.0, 0.5]),
        (["NA", ""], [None, None]),
        (["1", "x"], ["1", "x"]),
    ],
)
def test_the_values_of_a_column(said: list[str], values_: list[Cell]) -> None:
    assert values(said) == values_
