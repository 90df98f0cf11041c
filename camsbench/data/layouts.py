"""The ways in which people keep ILSVRC2012's validation images, told apart by the names that are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from camsbench.data import labels as tables
from camsbench.data import shards, tars
from camsbench.data.classes import WNID, image_id, index_of, is_image, is_number
from camsbench.data.folders import images_by_class
from camsbench.data.found import FoundImages, LeftOut, left_out, unique, unread_pictures
from camsbench.data.labels import Labels
from camsbench.data.record import Record
from camsbench.data.storage import Folder, Stored
from camsbench.errors import CamsbenchError

INSIDE = ("", "val", "data", "ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val", "validation")
ARCHIVE = "ILSVRC2012_img_val.tar"
NAMED = re.compile(rf"{WNID.pattern}_")
NO_IMAGE = "samples without an image that is read"

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
    found, ignored = images_by_class(folder, lambda name: index_of(name, where) if WNID.fullmatch(name) else None)
    return FoundImages("wnid", str(folder), found, "the folders' wnids", ignored)


def numbered_folders(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """Folders ``0`` to ``999``: the class is the number."""
    numbers = [name for name in folder.folders if is_number(name)]
    if not numbers:
        return None
    strange = [name for name in folder.folders if not is_number(name) and not name.startswith(".")]
    if strange or any(int(name) > 999 for name in numbers):
        wrong = strange[0] if strange else max(numbers, key=int)
        raise CamsbenchError(f"data.root: the folder {folder}/{wrong} is no class from 0 to 999; move it elsewhere")
    found, ignored = images_by_class(folder, lambda name: int(name) if is_number(name) else None)
    found.sort(key=lambda record: (record.label, record.image_id))
    return FoundImages("index", str(folder), found, "the folders' numbers", ignored)


def named_files(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """One folder of images without a file of labels, whose names begin with the wnid: ``n01440764_10026.JPEG``."""
    names = [name for name in folder.files if is_image(name)]
    others = [name for name in names if not NAMED.match(name)]
    if len(others) == len(names) or find_labels() is not None:
        return None
    if others:
        raise CamsbenchError(
            f"data.root={folder}: {len(names) - len(others)} of its {len(names)} images have the class's wnid before "
            f"their name (n01440764_...), and {others[0]} has none: rename it, or give a file of labels with "
            "data.labels=FILE"
        )
    where = f"data.root={folder}"
    records = [
        Record(image_id(name), folder.file(name), index_of(name.partition("_")[0], f"{where}: {name}"))
        for name in names
    ]
    return FoundImages("named", str(folder), records, "the wnids before the images' names", _beside(folder))


def flat_folder(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """One folder of images and a file of their labels; an image of the file that is not there fails when it is read."""
    names = [name for name in folder.files if is_image(name)]
    if not names:
        return None
    there = _by_id([(image_id(name), folder.file(name)) for name in names], str(folder))
    labels = find_labels()
    if labels is None:
        raise CamsbenchError(_unlabelled(str(folder)))
    ignored = _unlisted(there, labels, str(folder)) + _beside(folder)
    records = [
        Record(one, there.get(one) or folder.file(f"{one}.JPEG"), labels.label[one], labels.boxes.get(one, ()))
        for one in sorted(labels.label)
    ]
    return FoundImages("flat", str(folder), records, labels.source, ignored)


def unopened_tar(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """``ILSVRC2012_img_val.tar`` as it was downloaded."""
    return of_tar(folder.file(ARCHIVE), find_labels) if ARCHIVE in folder.entries else None


def webdataset(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """Tar shards whose samples hold an image and its class (``.cls`` or ``.json``)."""
    tars_here = [name for name in folder.files if name.endswith(".tar") and name != ARCHIVE]
    names, ignored = _of_validation(tars_here, [name for name in tars_here if "val" in name])
    if not names:
        return None
    found = [tars.samples(folder.file(name)) for name in names]
    records = [record for records, _ in found for record in records]
    ignored += left_out(NO_IMAGE, [key for _, keys in found for key in keys])
    return FoundImages("webdataset", f"{folder}, {len(names)} tars", records, "the samples' .cls or .json", ignored)


def parquet(folder: Folder, find_labels: Lookup) -> FoundImages | None:
    """Hugging Face's parquet shards, those of the validation split."""
    shards_here = [name for name in folder.files if name.endswith(".parquet")]
    names, ignored = _of_validation(shards_here, [name for name in shards_here if name.startswith(("val", "test"))])
    if not names:
        return None
    records = [record for name in names for record in shards.rows(folder.file(name))]
    return FoundImages("parquet", f"{folder}, {len(names)} shards", records, "the shards' column label", ignored)


LAYOUTS: dict[str, Layout] = {
    "wnid": wnid_folders,
    "index": numbered_folders,
    "parquet": parquet,
    "tar": unopened_tar,
    "webdataset": webdataset,
    "named": named_files,
    "flat": flat_folder,
}


def of_tar(file: Stored, find_labels: Lookup) -> FoundImages:
    """The images of a tar: samples with classes of their own, or images whose labels lie in a file."""
    members = tars.images(file)
    if not members:
        return _of_samples(file)
    labels = find_labels()
    if labels is None:
        if tars.has_classes(file):
            return _of_samples(file)
        raise CamsbenchError(_unlabelled(str(file)))
    there = _by_id(members, str(file))
    ignored = _unlisted(there, labels, str(file))
    ignored += left_out(
        f"images of {labels.source} that are not in the tar", sorted(labels.label.keys() - there.keys())
    )
    listed = sorted(there.keys() & labels.label.keys())
    records = [Record(one, there[one], labels.label[one], labels.boxes.get(one, ())) for one in listed]
    return FoundImages("tar", str(file), records, labels.source, ignored)


def _of_samples(file: Stored) -> FoundImages:
    records, without = tars.samples(file)
    labels = "the samples' .cls or .json"
    return FoundImages("webdataset", str(file), records, labels, left_out(NO_IMAGE, without))


def find_images(places: Sequence[Folder], find_labels: Lookup, layout: str) -> FoundImages | None:
    """The images of the first of ``places`` that is in one of the layouts, or in the one that is named."""
    chosen = LAYOUTS.values() if layout == "auto" else [LAYOUTS[layout]]
    lookup: Lookup = (lambda: None) if layout == "named" else find_labels  # it was asked for: no file has a say
    for place in places:
        for recognise in chosen:
            found = recognise(place, lookup)
            if found is not None and found.records:
                return replace(found, records=unique(found.records))
    return None


def _by_id(images: Sequence[tuple[str, Stored]], where: str) -> dict[str, Stored]:
    """Images by the ids that a file of labels knows them by.

    Raises:
        CamsbenchError: two have the same.
    """
    there: dict[str, Stored] = {}
    for one, file in images:
        if one in there:
            raise CamsbenchError(
                f"data.root={where}: {there[one]} and {file} are both the image {one}, which a file of labels "
                "has once: rename or remove one of them"
            )
        there[one] = file
    return there


def _unlisted(there: dict[str, Stored], labels: Labels, where: str) -> tuple[LeftOut, ...]:
    """The images that have no label.

    Raises:
        CamsbenchError: not one has any.
    """
    unknown = sorted(there.keys() - labels.label.keys())
    if len(unknown) == len(there):
        raise CamsbenchError(
            f"data.root={where}: none of its {len(there)} images is in {labels.source}, whose first is "
            f"{next(iter(labels.label), 'nobody')}: give the file of these images with data.labels="
        )
    return left_out(f"images that {labels.source} does not list", [there[one].name for one in unknown])


def _beside(folder: Folder) -> tuple[LeftOut, ...]:
    """What lies in and below a flat folder and is not taken."""
    deeper = [path for path, _ in folder.below() if is_image(path)] if folder.folders else []
    return unread_pictures(folder.files) + left_out("images in folders inside the folder", deeper)


def _of_validation(every: list[str], chosen: list[str]) -> tuple[list[str], tuple[LeftOut, ...]]:
    """The archives that say that they are of the validation split, all where none does; and the others."""
    chosen = chosen or every
    return chosen, left_out("archives of another split", sorted(set(every) - set(chosen)))


def _unlabelled(where: str) -> str:
    return (
        f"data.root={where}: its images have no labels: put {tables.SOLUTION}, {tables.DEVKIT}.tar.gz or val.txt "
        "(a line 'NAME INDEX' each) beside them, give one with data.labels=FILE, or put each class's wnid before its "
        "images' names (n01440764_...)"
    )
