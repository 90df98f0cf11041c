"""Images in the form of COCO: a JSON file has the images, their objects with boxes and masks, the classes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from math import isfinite
from typing import Any

from camsbench.core.preprocess import Box
from camsbench.data.found import FoundImages, ids, left_out, refuse_doubles
from camsbench.data.masks import PolygonMask, RunLengthMask, together
from camsbench.data.paths import Listed, Sides, file_of, folder_of, refuse_resized
from camsbench.data.record import MaskSource, Place, Record
from camsbench.data.storage import Stored
from camsbench.errors import CamsbenchError

Entry = Mapping[str, Any]


def coco(file: str, root: str, name: str = "coco") -> FoundImages:
    """The images of an annotation file, with boxes and masks of each of their labels.

    The classes are the file's categories by their ids, which have gaps: the label is a category's place. Boxes are x,
    y, width and height in pixels from 0, so that a box ends at x + width. A label's mask is of all its objects. What
    annotates a crowd, or has no area, is left out, label and all. An image without an annotation has no label.

    Raises:
        CamsbenchError: the file is of another kind, names images that are not below ``root``, contradicts itself, or
            describes pictures of other sizes.
    """
    source = file_of("data.file", file)
    said = _read(source)
    images, categories = said["images"], sorted(said["categories"], key=lambda one: one["id"])
    _refuse_twice(source, images, categories)
    index = {one["id"]: place for place, one in enumerate(categories)}
    listed = Listed(folder_of("data.root", root))
    paths = [str(one["file_name"]) for one in images]
    files = listed.every(paths, f"data.file={file}: its images", "give the folder that they lie in with data.root=DIR")
    sides = {one["id"]: _sides(one) for one in images}
    refuse_resized([(found, sides[one["id"]]) for found, one in zip(files, images, strict=True)], f"data.file={file}")
    objects: dict[Any, dict[int, list[Entry]]] = defaultdict(lambda: defaultdict(list))
    crowds: list[str] = []
    empty: list[str] = []
    for each in said["annotations"]:
        if each["image_id"] not in sides or each["category_id"] not in index:
            what = "image_id" if each["image_id"] not in sides else "category_id"
            raise CamsbenchError(f"data.file={source}: annotation {each.get('id')} has the {what} {each[what]}, which "
                                 "the file does not have: mend it")  # fmt: skip
        if each.get("iscrowd"):
            crowds.append(f"annotation {each.get('id')}")
        elif "bbox" in each and min(_numbers(source, each)[2:]) <= 0:
            empty.append(f"annotation {each.get('id')}")
        else:
            objects[each["image_id"]][index[each["category_id"]]].append(each)
    records, partly = [], []
    for one, path, found in zip(ids([listed.inside(path) for path in paths]), images, files, strict=True):
        own = objects[path["id"]]
        masks = {label: [_mask(each, sides[path["id"]]) for each in own[label]] for label in sorted(own)}
        places = {
            label: Place(tuple(_box(source, each) for each in own[label] if "bbox" in each), together(masks[label]))
            for label in masks
        }
        partly += [one for label in masks if any(masks[label]) and places[label].mask is None]
        records.append(Record(one, found, None, sides=sides[path["id"]]).placed(places))
    refuse_doubles(records)
    ignored = left_out("annotations of crowds", crowds) + left_out("annotations of boxes without area", empty)
    ignored += left_out("masks of labels of which not every object has one", partly)
    names = tuple(str(one["name"]) for one in categories)
    return FoundImages("coco", str(source), records, f"the categories of {source.name}", ignored, names)


def _read(source: Stored) -> dict[str, list[Entry]]:
    try:
        found = json.loads(source.read())
    except (OSError, ValueError) as error:
        raise CamsbenchError(f"data.file={source} is no JSON that can be read ({error}): download it again") from error
    needed = {
        "images": ("id", "file_name"),
        "annotations": ("image_id", "category_id"),
        "categories": ("id", "name"),
    }
    for part, keys in needed.items():
        entries = found.get(part) if isinstance(found, dict) else None
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise CamsbenchError(
                f"data.file={source} has no list '{part}', so it is not of COCO's form: give the file of the objects, "
                "such as instances_val2017.json"
            )
        for number, one in enumerate(entries):
            lacking = [key for key in keys if key not in one]
            if lacking:
                raise CamsbenchError(f"data.file={source}: entry {number} of '{part}' has no {lacking[0]}: mend it")
    return found


def _refuse_twice(source: Stored, images: list[Entry], categories: list[Entry]) -> None:
    """An id that stands twice would give one's objects to the other, and a name would be two classes."""
    for what, values in (
        ("image id", [one["id"] for one in images]),
        ("file_name", [one["file_name"] for one in images]),
        ("category id", [one["id"] for one in categories]),
        ("category name", [one["name"] for one in categories]),
    ):
        for value, count in Counter(values).items():
            if count > 1:
                raise CamsbenchError(f"data.file={source}: the {what} {value} stands {count} times: mend the file")


def _sides(image: Entry) -> Sides | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _numbers(source: Stored, each: Entry) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = (float(number) for number in each["bbox"])
    except (TypeError, ValueError) as error:
        raise CamsbenchError(
            f"data.file={source}: the bbox of annotation {each.get('id')} is {each['bbox']} and not x, y, width, "
            "height: mend it"
        ) from error
    if not all(map(isfinite, (x, y, width, height))):
        raise CamsbenchError(f"data.file={source}: the bbox of annotation {each.get('id')} is {each['bbox']}: mend it")
    return x, y, width, height


def _box(source: Stored, each: Entry) -> Box:
    x, y, width, height = _numbers(source, each)
    return x, y, x + width, y + height


def _mask(each: Entry, sides: Sides | None) -> MaskSource | None:
    """The object's mask; None where it has none, or one that is not as COCO writes them."""
    drawn = each.get("segmentation")
    if isinstance(drawn, dict):
        size, counts = drawn.get("size"), drawn.get("counts")
        if not isinstance(size, list) or len(size) != 2 or not isinstance(counts, str | list):
            return None
        height, width = size
        return RunLengthMask(counts if isinstance(counts, str) else tuple(counts), width, height)
    if not drawn or sides is None or not isinstance(drawn, list):
        return None
    if not all(isinstance(one, list) and len(one) >= 6 and len(one) % 2 == 0 for one in drawn):
        return None
    return PolygonMask(tuple(tuple(float(number) for number in one) for one in drawn), *sides)
