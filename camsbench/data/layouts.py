"""The ways in which people keep ILSVRC2012's validation images, told apart by the names that are there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from camsbench.data import labels as tables
from camsbench.data import shards, tars
from camsbench.data.classes import WNID, image_id, index_of, is_image
from camsbench.data.labels import Labels
from camsbench.data.record import Record
from camsbench.data.storage import Folder, Stored
from camsbench.errors import CamsbenchError

INSIDE = ("", "val", "data", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val", "validation")
ARCHIVE = "ILSVRC2012_img_val.tar"


@dataclass(frozen=True)
class FoundImages:
    """Images, and how they were recognised."""

    layout: str
    where: str
    records: list[Record]
    labels: str  # what said which class an image has


Lookup = Callable[[], Labels | None]
"""The file of labels, read when a layout asks for it: what lies beside labelled folders is none of ours."""

Layout = Callable[[Folder, Lookup], FoundImages | None]
"""The images of a folder in this layout; None where the folder is of another."""


def wnid_folders(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """Folders ``n01440764`` ...: the class is the wnid's place among all 1000."""
    if not any(WNID.fullmatch(name) for name in folder.folders):
        return None
    strange = [name for name in folder.folders if not WNID.fullmatch(name) and not name.startswith(".")]
    if strange:
        raise CamsbenchError(f"data.root: the folder {folder}/{strange[0]} is no wnid of ILSVRC2012; move it elsewhere")
    where = f"data.root={folder}"
    records = [
        Record(image_id(name), folder.child(wnid).file(name), index_of(wnid, where))
        for wnid, name in folder.below()
        if is_image(name) and WNID.fullmatch(wnid)
    ]
    return FoundImages("wnid", str(folder), records, "the folders' wnids")


def numbered_folders(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """Folders ``0`` to ``999``: the class is the number."""
    numbers = [name for name in folder.folders if name.isdigit()]
    if not numbers:
        return None
    strange = [name for name in folder.folders if not name.isdigit() and not name.startswith(".")]
    if strange or any(int(name) > 999 for name in numbers):
        wrong = strange[0] if strange else max(numbers, key=int)
        raise CamsbenchError(f"data.root: the folder {folder}/{wrong} is no class from 0 to 999; move it elsewhere")
    records = [
        Record(image_id(name), folder.child(number).file(name), int(number))
        for number, name in folder.below()
        if is_image(name) and number.isdigit()
    ]
    return FoundImages(
        "index", str(folder), sorted(records, key=lambda r: (r.label, r.image_id)), "the folders' numbers"
    )


def flat_folder(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """One folder of images and a file of their labels; an image of the file that is not there fails when it is read."""
    there = {image_id(name): name for name in folder.files if is_image(name)}
    if not there:
        return None
    labels = find_labels()
    if labels is None:
        raise CamsbenchError(_unlabelled(str(folder)))
    if not labels.label.keys() & there.keys():
        first = next(iter(labels.label), "nobody")
        raise CamsbenchError(
            f"data.root={folder}: none of its {len(there)} images is in {labels.source}, whose first is {first}: "
            "give the file of these images with data.labels="
        )
    records = [
        Record(one, folder.file(there.get(one, f"{one}.JPEG")), labels.label[one], labels.boxes.get(one, ()))
        for one in sorted(labels.label)
    ]
    return FoundImages("flat", str(folder), records, labels.source)


def unopened_tar(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """``ILSVRC2012_img_val.tar`` as it was downloaded."""
    return of_tar(folder.file(ARCHIVE), find_labels) if ARCHIVE in folder.entries else None


def webdataset(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """Tar shards whose samples hold an image and its class (``.cls`` or ``.json``)."""
    names = [name for name in folder.files if name.endswith(".tar") and name != ARCHIVE]
    names = [name for name in names if "val" in name] or names
    if not names:
        return None
    records = [record for name in names for record in tars.samples(folder.file(name))]
    return FoundImages("webdataset", f"{folder}, {len(names)} tars", records, "the samples' .cls or .json")


def parquet(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """Hugging Face's parquet shards, those of the validation split."""
    names = [name for name in folder.files if name.endswith(".parquet")]
    names = [name for name in names if name.startswith(("val", "test"))] or names
    if not names:
        return None
    records = [record for name in names for record in shards.rows(folder.file(name))]
    return FoundImages("parquet", f"{folder}, {len(names)} shards", records, "the shards' column label")


LAYOUTS: dict[str, Layout] = {
    "wnid": wnid_folders,
    "index": numbered_folders,
    "parquet": parquet,
    "tar": unopened_tar,
    "webdataset": webdataset,
    "flat": flat_folder,
}


def of_tar(file: Stored, find_labels: Lookup) -> FoundImages:
    """The images of a tar: samples with classes of their own, or images whose labels lie in a file."""
    members = tars.images(file)
    if not members:
        return FoundImages("webdataset", str(file), tars.samples(file), "the samples' .cls or .json")
    labels = find_labels()
    if labels is None:
        if tars.has_classes(file):
            return FoundImages("webdataset", str(file), tars.samples(file), "the samples' .cls or .json")
        raise CamsbenchError(_unlabelled(str(file)))
    unknown = [one for one in members if one not in labels.label]
    if unknown:
        raise CamsbenchError(
            f"data.root={file}: {len(unknown)} of its {len(members)} images are not in {labels.source}, the first is "
            f"{unknown[0]}: give the file of these images with data.labels="
        )
    records = [Record(one, members[one], labels.label[one], labels.boxes.get(one, ())) for one in sorted(members)]
    return FoundImages("tar", str(file), records, labels.source)


def find_images(places: Sequence[Folder], find_labels: Lookup, layout: str) -> FoundImages | None:
    """The images of the first of ``places`` that is in one of the layouts, or in the one that is named."""
    chosen = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    for place in places:
        for recognise in chosen:
            found = recognise(place, find_labels)
            if found is not None and found.records:
                return replace(found, records=unique(found.records))
    return None


def unique(records: list[Record]) -> list[Record]:
    """The same records, each id with its folder where one stands twice."""
    if max(Counter(r.image_id for r in records).values(), default=1) == 1:
        return records
    return [replace(r, image_id=f"{str(r.source).split('/')[-2]}/{r.image_id}") for r in records]


def _unlabelled(where: str) -> str:
    return (
        f"data.root={where}: its images have no labels: put {tables.SOLUTION}, {tables.DEVKIT}.tar.gz or val.txt "
        "(a line 'NAME INDEX' each) beside them, or give one with data.labels=FILE"
    )
