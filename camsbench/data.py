"""Where images come from: sources of labelled pictures, and the choice of some of them."""

from __future__ import annotations

import csv
import importlib.util
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from timm.data import ImageNetInfo

from camsbench import draws
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


def select(
    records: Sequence[Record],
    subset: str | None = None,
    draw: int | Sequence[int] | None = None,
    shuffle: int | None = None,
    limit: int | None = None,
    classes: Sequence[int] | None = None,
    per_class: int | None = None,
) -> list[Record]:
    """The images of a run: those listed in the file ``subset``, shuffled by a seed, the first ``limit`` of them.

    ``draw`` takes a frozen draw instead, or several together (see ``camsbench.draws``): the first ``limit`` of each.
    Before the limit, ``classes`` keeps the images of these labels, in the order of ``classes``, and ``per_class`` the
    first so many of each label; of a draw they keep some.

    Raises:
        CamsbenchError: the file is missing, repeats an id or names one that is not there; a draw comes with another
            choice, or has images that are not there; the limit is below 1; or nothing is left; a class has no image.
    """
    chosen = list(records)
    if subset is not None:
        chosen = _listed(chosen, Path(subset).expanduser())
    if shuffle is not None and type(shuffle) is not int:
        raise CamsbenchError(f"data.shuffle={shuffle}: give a whole number, the seed of the order, or null")
    if shuffle is not None:
        random.Random(shuffle).shuffle(chosen)
    if limit is not None and (type(limit) is not int or limit < 1):
        raise CamsbenchError(f"data.limit={limit}: give a number from 1 up, or null for all images")
    if draw is not None:
        if subset is not None or shuffle is not None:
            raise CamsbenchError(f"data.draw={draw}: a draw is a choice of its own; drop data.subset and data.shuffle")
        chosen, limit = _drawn(chosen, draw, limit), None
    chosen = _of_classes(chosen, classes, per_class)[:limit]
    if not chosen:
        raise CamsbenchError("data: no images are left; check data.root and data.subset")
    return chosen


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


def _of_classes(records: list[Record], classes: Sequence[int] | None, per_class: int | None) -> list[Record]:
    if per_class is not None and (type(per_class) is not int or per_class < 1):
        raise CamsbenchError(f"data.per_class={per_class}: give a number from 1 up, or null for all images of a class")
    if classes is not None and (isinstance(classes, str | int) or len(set(classes)) < len(classes)):
        raise CamsbenchError(f"data.classes={classes}: give a list of different class indices, such as [243,282]")
    if classes is not None:
        absent = sorted(set(classes) - {r.label for r in records})
        if absent:
            raise CamsbenchError(f"data.classes: class {absent[0]} has no image in the data; leave it out")
        place = {label: i for i, label in enumerate(classes)}
        records = sorted((r for r in records if r.label in place), key=lambda r: place[r.label])
    if per_class is None:
        return records
    seen: Counter[int] = Counter()
    kept = []
    for record in records:
        seen[record.label] += 1
        if seen[record.label] <= per_class:
            kept.append(record)
    return kept


def _drawn(records: Sequence[Record], draw: int | Sequence[int], limit: int | None) -> list[Record]:
    ids = draws.union(draw, limit)
    by_id = {r.image_id: r for r in records}
    missing = [image_id for image_id in ids if image_id not in by_id]
    if len(missing) == len(ids):
        raise CamsbenchError(
            f"data.draw={draw}: draws are of ILSVRC2012's validation images (ids like {ids[0]}), and this data has "
            "none of them; use data=ilsvrc2012, or data.shuffle=SEED with data.limit=N on other images"
        )
    if missing:
        raise CamsbenchError(
            f"data.draw={draw}: {len(missing)} of its {len(ids)} images are not in the data, the first is "
            f"{missing[0]}; put all {draws.VALIDATION:,} validation images there, or choose among those that are there "
            "with data.shuffle=SEED data.limit=N"
        )
    return [by_id[image_id] for image_id in ids]


def _listed(records: Sequence[Record], subset: Path) -> list[Record]:
    if not subset.is_file():
        raise CamsbenchError(f"data.subset={subset}: there is no such file; give a text file with one image id a line")
    lines = (line.split("#")[0].strip() for line in subset.read_text().splitlines())
    ids = [line for line in lines if line]
    twice = [image_id for image_id, count in Counter(ids).items() if count > 1]
    if twice:
        raise CamsbenchError(f"data.subset={subset}: {twice[0]} stands there more than once; remove the repeats")
    by_id = {r.image_id: r for r in records}
    unknown = [image_id for image_id in ids if image_id not in by_id]
    if unknown:
        raise CamsbenchError(
            f"data.subset={subset}: {len(unknown)} of its {len(ids)} ids are not in the data, "
            f"the first is {unknown[0]}; ids look like {records[0].image_id if records else '...'}"
        )
    return [by_id[image_id] for image_id in ids]
