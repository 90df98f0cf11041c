"""The sample images, which a Python package ships."""

from __future__ import annotations

import csv
import importlib.util
from importlib.resources import files
from pathlib import Path

from camsbench.core.preprocess import Box
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError


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
    with (files("camsbench.data") / "assets" / "sample_boxes.csv").open() as table:
        for row in csv.DictReader(table):
            box = (float(row["xmin"]), float(row["ymin"]), float(row["xmax"]), float(row["ymax"]))
            boxes.setdefault(row["image"], []).append(box)
    return [
        Record(path.stem, path, int(path.stem.split("_")[2]), tuple(boxes.get(path.name, ())), relative=True)
        for path in sorted(folder.glob("imagenet_*.jpg"))
    ]
