"""Where images come from: sources of labelled pictures, and the choice of some of them."""

from __future__ import annotations

import csv
import importlib.util
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from timm.data import ImageNetInfo

from camsbench.errors import CamsbenchError
from camsbench.preprocess import Box

IMAGE_SUFFIXES = {".jpeg", ".jpg", ".png", ".webp", ".bmp"}
SOLUTION = "LOC_val_solution.csv"
KAGGLE_IMAGES = Path("ILSVRC/Data/CLS-LOC/val")


@dataclass(frozen=True)
class Record:
    """One labelled image: ``boxes`` in pixels of the picture, or in fractions of its sides where ``relative``."""

    image_id: str
    path: Path
    label: int
    boxes: tuple[Box, ...] = ()
    relative: bool = False


def samples(name: str = "samples") -> list[Record]:
    """The 20 ImageNet images of the package foolbox, with the hand-drawn boxes that camsbench ships.

    Raises:
        CamsbenchError: foolbox is not installed.
    """
    found = importlib.util.find_spec("foolbox")
    if found is None or not found.submodule_search_locations:
        raise CamsbenchError(f"data={name}: the Python package foolbox is not installed; pip install 'camsbench[demo]'")
    folder = Path(found.submodule_search_locations[0]) / "data"
    boxes: dict[str, list[Box]] = {}
    with (files("camsbench") / "assets" / "sample_boxes.csv").open() as table:
        for row in csv.DictReader(table):
            box = (float(row["xmin"]), float(row["ymin"]), float(row["xmax"]), float(row["ymax"]))
            boxes.setdefault(row["image"], []).append(box)
    return [
        Record(path.stem, path, int(path.stem.split("_")[2]), tuple(boxes.get(path.name, ())), relative=True)
        for path in sorted(folder.glob("imagenet_*.jpg"))
    ]


def ilsvrc2012(root: str, name: str = "ilsvrc2012") -> list[Record]:
    """The images under ``root``: folders named by wnid, or a flat folder beside Kaggle's ``LOC_val_solution.csv``.

    An image id is the file's name without its suffix; where two folders hold the same name, it is their path.

    Raises:
        CamsbenchError: no such folder, no layout that is known, or a label that is no ImageNet class.
    """
    top = Path(root).expanduser()
    if not top.is_dir():
        raise CamsbenchError(f"data.root={root}: there is no such folder; give the folder of the validation images")
    wnids = {wnid: index for index, wnid in enumerate(ImageNetInfo().label_names())}
    for folder in (top, top / "val"):
        if (folder / SOLUTION).is_file():
            return _unique(_from_solution(folder / SOLUTION, wnids))
        if folder.is_dir() and any(re.fullmatch(r"n\d{8}", p.name) for p in folder.iterdir() if p.is_dir()):
            return _unique(_from_wnid_folders(folder, wnids))
    raise CamsbenchError(
        f"data.root={root}: neither folders named by wnid (n01440764 ...) nor a {SOLUTION} was found in it or in its "
        "folder val: give the folder that holds them"
    )


def check_labels(records: Iterable[Record], num_classes: int, model: str) -> None:
    """Refuse labels that the network has no class for."""
    for record in records:
        if not 0 <= record.label < num_classes:
            raise CamsbenchError(
                f"label {record.label} of image {record.image_id} is outside the {num_classes} classes of {model}: "
                "choose a network trained on these classes"
            )


def check_boxes(records: Sequence[Record], metrics: Iterable[str]) -> None:
    """Refuse ``metrics`` that need boxes where not one image has any."""
    for metric in metrics:
        if not any(record.boxes for record in records):
            raise CamsbenchError(
                f"metric={metric} needs boxes, and none of the {len(records)} images has one: use data that has them "
                f"(data=samples, or data=ilsvrc2012 with {SOLUTION}), or leave the metric out"
            )


@cache
def class_name(index: int, num_classes: int = 1000) -> str:
    """A class's English name for ImageNet's 1000 classes, the bare index for others."""
    return ImageNetInfo().index_to_description(index).split(",")[0] if num_classes == 1000 else f"class {index}"


def _from_wnid_folders(root: Path, wnids: dict[str, int]) -> Iterable[Record]:
    # the index is the wnid's place among all 1000, never its rank among the folders that happen to be there
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        if folder.name not in wnids:
            raise CamsbenchError(f"data.root: the folder {folder} is no wnid of ILSVRC2012; move it elsewhere")
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in IMAGE_SUFFIXES:
                yield Record(path.stem, path, wnids[folder.name])


def _from_solution(table: Path, wnids: dict[str, int]) -> Iterable[Record]:
    with table.open(newline="") as lines:
        reader = csv.DictReader(lines)
        if not reader.fieldnames or not {"ImageId", "PredictionString"} <= set(reader.fieldnames):
            raise CamsbenchError(f"{table} lacks the columns ImageId and PredictionString: download it again")
        rows = sorted(reader, key=lambda row: row["ImageId"])
        folder = _image_folder(table.parent, [row["ImageId"] for row in rows])
        for row in rows:
            words = row["PredictionString"].split()
            try:
                label = wnids[words[0]]
                numbers = [tuple(float(n) for n in words[i + 1 : i + 5]) for i in range(0, len(words), 5)]
                boxes = tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in numbers)
            except (KeyError, IndexError, ValueError) as error:
                raise CamsbenchError(
                    f"{table}: the row of {row['ImageId']} is not 'wnid xmin ymin xmax ymax ...' with a wnid of "
                    "ILSVRC2012: download the file again"
                ) from error
            yield Record(row["ImageId"], folder / f"{row['ImageId']}.JPEG", label, boxes)


def _image_folder(top: Path, ids: Sequence[str]) -> Path:
    """The folder beside a solution file that holds its images."""
    folders = [top, top / "val", top / KAGGLE_IMAGES]
    for folder in folders:
        if any((folder / f"{image_id}.JPEG").is_file() for image_id in ids[:100]):
            return folder
    if not ids:
        return top
    raise CamsbenchError(
        f"data.root: {ids[0]}.JPEG and the images after it are in none of {', '.join(map(str, folders))}: "
        f"put {SOLUTION} beside them"
    )


def _unique(records: Iterable[Record]) -> list[Record]:
    found = list(records)
    if max(Counter(r.image_id for r in found).values(), default=1) == 1:
        return found
    return [replace(r, image_id=f"{r.path.parent.name}/{r.image_id}") for r in found]
