"""Runs on images of one's own: class folders, tables with several labels, masks and further columns, no labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from quick import QuickRun

from camsbench import CamsbenchError
from camsbench.data.table import table as table_source

SIDE = 96
MODEL = ["model=torchvision", "model.name=resnet18", "model.weights=random", "metric=[drop,pointing]"]
COLOURS = {"cat": (200, 60, 60), "dog": (60, 200, 60), "bird": (60, 60, 200)}


def picture(path: Path, *names: str) -> None:
    """A picture with a square for each name, side by side from the left."""
    generator = np.random.default_rng(len(str(path)))
    pixels = generator.integers(0, 60, (SIDE, SIDE, 3), dtype=np.uint8)
    for place, name in enumerate(names):
        pixels[30:60, 32 * place : 32 * place + 30] = COLOURS[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def table(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def model(classes: int) -> list[str]:
    return [*MODEL, f"++model.options.num_classes={classes}"]


def test_class_folders(quick_run: QuickRun, tmp_path: Path) -> None:
    for name in COLOURS:
        for number in range(2):
            picture(tmp_path / "images" / name / f"{number}.png", name)
    data = ["data=folder", f"data.root={tmp_path / 'images'}", "metric=[drop]"]
    outcome = quick_run(tmp_path / "run", *model(3), *data, "target=dog", "gallery=1")
    rows = outcome.rows
    assert list(rows["image_id"]) == ["bird/0", "bird/1", "cat/0", "cat/1", "dog/0", "dog/1"]
    assert list(rows["label"]) == [0, 0, 1, 1, 2, 2]  # as torchvision's ImageFolder counts
    assert set(rows["target"]) == {2}
    session = json.loads((tmp_path / "run" / "environment.json").read_text())["sessions"][0]
    assert session["classes"] == {"count": 3, "names": ["bird", "cat", "dog"]}
    with pytest.raises(CamsbenchError, match=r"the data have 3 classes and resnet18 4, whose names are unknown"):
        quick_run(tmp_path / "four", *model(4), *data)
    with pytest.raises(CamsbenchError, match=r"class 'bird' of the data is no class of resnet18|'dog' is the name of"):
        quick_run(tmp_path / "imagenet", *MODEL, *data)


def test_pictures_without_labels(quick_run: QuickRun, tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png", "cat")
    data = ["data=folder", f"data.root={tmp_path / 'images'}", "metric=[drop]", *model(3)]
    rows = quick_run(tmp_path / "run", *data[:2], *model(3), "metric=[drop]", "target=predicted").rows
    assert rows["label"].isna().all()
    assert rows["drop"].notna().all()
    with pytest.raises(CamsbenchError, match="target=label: none of the 1 images has a label: use target=predicted"):
        quick_run(tmp_path / "label", *data, "metric=[drop]", "target=label")


def of_several(folder: Path) -> list[str]:
    """Two pictures: a cat beside a dog, a bird alone."""
    picture(folder / "pair.png", "cat", "dog")
    picture(folder / "one.png", "bird")
    rows: list[dict[str, object]] = [
        {"path": "pair.png", "label": "cat", "xmin": 0, "ymin": 30, "xmax": 30, "ymax": 60, "hospital": "north"},
        {"path": "pair.png", "label": "dog", "xmin": 32, "ymin": 30, "xmax": 62, "ymax": 60, "hospital": "north"},
        {"path": "one.png", "label": "bird", "xmin": 0, "ymin": 30, "xmax": 30, "ymax": 60, "hospital": "south"},
    ]
    return ["data=table", f"data.file={table(folder / 'table.csv', rows)}"]


def test_an_image_of_several_labels_is_explained_once_for_each(quick_run: QuickRun, tmp_path: Path) -> None:
    data = [*model(3), *of_several(tmp_path), "model.output=labels"]
    outcome = quick_run(tmp_path / "run", *data, "target=label", "summary.by=hospital")
    rows = outcome.rows.set_index("image_id")
    assert dict(rows["label"]) == {"pair:1": 1, "pair:2": 2, "one": 0}
    assert (rows["label"] == rows["target"]).all()
    assert rows["pointing"].notna().all()
    assert dict(rows["data.hospital"]) == {"pair:1": "north", "pair:2": "north", "one": "south"}
    split = pd.read_csv(tmp_path / "run" / "subgroups.csv")
    assert dict(zip(split["hospital"], split["n"], strict=True)) == {"north": 2, "south": 1}
    assert "By hospital. ▼ worse" in outcome.report
    with pytest.raises(CamsbenchError, match="boxes of several labels, and nothing says which of them is explained"):
        quick_run(tmp_path / "predicted", *data, "target=predicted")
    cat = quick_run(tmp_path / "cat", *data, "target=cat").rows.set_index("image_id")
    assert cat["pointing"].notna()["pair"]
    assert cat["pointing"].isna()["one"]  # no cat is there
    with pytest.raises(CamsbenchError, match=r"summary\.by=ward: .* give one of label, target, hospital"):
        quick_run(tmp_path / "ward", *data, "target=label", "summary.by=ward")


def test_a_column_that_changed_is_another_run(quick_run: QuickRun, tmp_path: Path) -> None:
    data = [*model(3), *of_several(tmp_path), "target=label"]
    quick_run(tmp_path / "run", *data, "data.limit=1")
    text = (tmp_path / "table.csv").read_text()
    (tmp_path / "table.csv").write_text(text.replace("north", "east"))
    with pytest.raises(CamsbenchError, match=r"image pair:1 had columns of the hash .* the data changed"):
        quick_run(tmp_path / "run", *data)
    (tmp_path / "table.csv").write_text(text)
    picture(tmp_path / "pair.png", "bird", "bird")
    with pytest.raises(CamsbenchError, match=r"holds a run of other images of the same names|the data changed"):
        quick_run(tmp_path / "run", *data)


def test_masks_in_place_of_boxes(quick_run: QuickRun, tmp_path: Path) -> None:
    picture(tmp_path / "one.png", "cat")
    everywhere, nowhere = (Image.new("L", (SIDE, SIDE), value) for value in (255, 0))
    everywhere.save(tmp_path / "all.png")
    corner = nowhere.copy()
    corner.putpixel((0, 0), 255)
    corner.save(tmp_path / "corner.png")
    pointing = []
    for mask in ("all.png", "corner.png"):
        file = table(tmp_path / f"{mask}.csv", [{"path": "one.png", "label": "cat", "mask": mask}])
        options = ["data=table", f"data.file={file}", "metric=[pointing,energy_pointing]", "target=cat"]
        names = tmp_path / "names.txt"
        names.write_text("cat\ndog\nbird\n")
        rows = quick_run(tmp_path / f"run {mask}", *model(3), f"model.classes={names}", *options).rows
        pointing.append((rows["pointing"][0], rows["energy_pointing"][0]))
    assert pointing[0] == (1, pytest.approx(1))
    assert pointing[1][1] < 0.1


def test_what_would_be_another_question_is_refused(quick_run: QuickRun, tmp_path: Path) -> None:
    data = [*model(3), *of_several(tmp_path), "model.output=labels", "metric=[drop]"]
    chosen = quick_run(tmp_path / "chosen", *data, "target=label", "data.classes=[cat]").rows
    assert list(chosen["image_id"]) == ["pair"]  # the dog beside it was not chosen
    compared = quick_run(tmp_path / "compared", *data, "target=label", "contrast=cat").rows
    assert "pair:1" not in set(compared["image_id"])
    assert "images of the class that the others are compared with (1)" in (tmp_path / "compared/summary.md").read_text()
    with pytest.raises(CamsbenchError, match=r"contrast=1: that is the target itself: give another class"):
        quick_run(tmp_path / "wrong", *data, "target=cat", "contrast=cat")
    names = tmp_path / "names.txt"
    names.write_text("0\n10\n2\n")
    with pytest.raises(CamsbenchError, match=r"target=2: the network's classes are called by numbers"):
        quick_run(tmp_path / "wrong", *data, "target=2", f"model.classes={names}")


def test_a_label_that_is_missing_is_none(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for number in range(3):
        picture(tmp_path / f"{number}.png", "cat")
    file.write_text("path,label\n0.png,0\n1.png,1\n2.png,nan\n")
    found = table_source(str(file))
    assert [record.label for record in found.records] == [0, 1, None]
    assert found.class_names == ()
    file.write_text("path,label\n0.png,0\n1.png,1\n2.png,other\n")
    with pytest.raises(CamsbenchError, match=r"class indices \(0\) and names \(other\): write one kind"):
        table_source(str(file))


def test_other_images_in_the_same_folder_are_another_run(quick_run: QuickRun, tmp_path: Path) -> None:
    for name in ("first", "second"):
        picture(tmp_path / name / f"{name}.png", "cat")
    options = [*model(3), "metric=[drop]", "data=folder", "target=predicted"]
    quick_run(tmp_path / "run", *options, f"data.root={tmp_path / 'first'}")
    with pytest.raises(CamsbenchError, match="holds a run of other images: none of those that it looked at"):
        quick_run(tmp_path / "run", *options, f"data.root={tmp_path / 'second'}")
