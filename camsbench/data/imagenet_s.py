"""Masks of ImageNet-S (Gao et al. 2022), which has 12,419 of ILSVRC2012's validation images drawn out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from camsbench.data.classes import WNID, image_id, index_of
from camsbench.data.masks import NumberedMask
from camsbench.data.record import Record
from camsbench.data.storage import Folder, Stored, locate
from camsbench.errors import CamsbenchError

FOLDER = "validation-segmentation"
CLASSES = (919, 300, 50)  # of ImageNet-S and its two subsets


def attach_masks(records: Sequence[Record], root: str, masks: str) -> list[Record]:
    """The records with the pixels of their label, where ``masks`` has a picture of them.

    A pixel's class is R + 256·G of a picture, 0 for others and 1000 for what is to be ignored, which is outside of a
    mask here. Classes are numbered from 1 in the order of the folders' wnids, so that all of these must be there.

    Args:
        masks: the folder ``validation-segmentation``, or ``auto``, which looks for it in ``root`` and beside it.

    Raises:
        CamsbenchError: what is named is not there, lacks classes, or has masks of none of the images.
    """
    place = _beside(locate("data.root", root)) if masks == "auto" else locate("data.masks", masks)
    if place is None:
        return list(records)
    if isinstance(place, Stored):
        raise CamsbenchError(f"data.masks={masks}: this is a file; give the folder {FOLDER} of ImageNet-S")
    numbers = _numbers(place)
    there = {image_id(file.name): file for path, file in place.below() if path.endswith(".png")}
    found = [_masked(record, there.get(image_id(record.source.name)), numbers) for record in records]
    if masks != "auto" and not any(record.mask for record in found):
        raise CamsbenchError(
            f"data.masks={masks} has masks of none of the {len(records)} images, whose first is {records[0].image_id}: "
            "give those of the validation images"
        )
    return found


def _masked(record: Record, picture: Stored | None, numbers: dict[int, int]) -> Record:
    if picture is None or record.label not in numbers:
        return record
    return replace(record, mask=NumberedMask(picture, numbers[record.label]))


def _beside(root: Folder | Stored) -> Folder | None:
    inner = root if isinstance(root, Folder) else root.folder
    return next((place for top in (inner, inner.above) if (place := top.child(FOLDER)).folders), None)


def _numbers(folder: Folder) -> dict[int, int]:
    """The number that stands for each class in the pictures, by the class's index."""
    names = [name for name in folder.folders if WNID.fullmatch(name)]
    if len(names) not in CLASSES:
        raise CamsbenchError(
            f"data.masks={folder}: it has folders of {len(names)} classes, and ImageNet-S of {CLASSES[0]} (its subsets "
            f"of {CLASSES[1]} and {CLASSES[2]}), whose order says what the numbers in its pictures mean: put all of "
            "them there, empty ones too, or leave masks out with data.masks=null"
        )
    return {index_of(name, f"data.masks={folder}"): number for number, name in enumerate(sorted(names), 1)}
