"""The sample images, and what a run asks of any images."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

from camsbench.errors import CamsbenchError
from camsbench.preprocess import Box
from camsbench.record import Record as Record


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
                "(data=samples, or data=ilsvrc2012 with data.boxes=PATH: the folder or archive of the XML files, or "
                "LOC_val_solution.csv), or leave the metric out"
            )
