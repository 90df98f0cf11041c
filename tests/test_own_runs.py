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
    assert dict(rows["label"]) == {"pair:cat": 1, "pair:dog": 2, "one": 0}
    assert (rows["label"] == rows["target"]).all()
    assert rows["pointing"].notna().all()
    assert dict(rows["data.hospital"]) == {"pair:cat": "north", "pair:dog": "north", "one": "south"}
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
    with pytest.raises(CamsbenchError, match=r"image pair:cat had columns of the hash .* the data changed"):
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
