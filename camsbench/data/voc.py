"""Images in the form of PASCAL VOC: a folder of pictures, one of XML files with boxes, lists of splits, class masks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from camsbench.core.preprocess import Box
from camsbench.data.classes import PICTURE_SUFFIXES, is_image
from camsbench.data.found import FoundImages, LeftOut, ids, left_out, refuse_doubles
from camsbench.data.masks import PictureMask
from camsbench.data.paths import Sides, folder_of, refuse_resized
from camsbench.data.record import Place, Record
from camsbench.data.storage import Folder, Stored
from camsbench.errors import CamsbenchError

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
ALL = "all"


@dataclass(frozen=True)
class Object:
    """One object of a picture; ``box`` in pixels from 0, up to where it ends."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True)
class Annotation:
    """What a VOC file says of a picture."""

    objects: tuple[Object, ...]
    sides: Sides | None


def voc(root: str, split: str = "val", difficult: bool = True, name: str = "voc") -> FoundImages:
    """The images of a split, with boxes and, where ``SegmentationClass`` has them, masks of each of their labels.

    The classes are VOC's 20 in alphabetical order, or the sorted names of all files of ``Annotations`` where these
    have others. VOC counts pixels from 1 and a box's last row and column are inside it, so that xmin and ymin lose 1
    here and xmax and ymax stay. (Boxes of ILSVRC2012, which count from 0, are taken as they are: ``data.boxes``.) A
    mask has all pixels of its class; the border between objects, of the value 255, is outside.

    Args:
        root: the folder of a year, such as ``VOCdevkit/VOC2007``.
        split: a list of ``ImageSets/Main``, such as ``val`` or ``test``, or ``all``.
        difficult: whether objects that VOC marks as difficult count; else they are left out, label, box and mask.

    Raises:
        CamsbenchError: a folder, list, picture or annotation is missing or cannot be read, or pictures have other
            sizes than their annotations say.
    """
    top = folder_of("data.root", root)
    drawn, pictures = top.child("Annotations"), _by_stem(top.child("JPEGImages"))
    if not drawn.files or not pictures:
        raise CamsbenchError(
            f"data.root={root}: it has no folders JPEGImages and Annotations with files: give the folder of a year, "
            "such as VOCdevkit/VOC2007"
        )
    listed = _listed(top, str(split), pictures)
    _refuse_missing(top, listed, pictures, drawn)
    said = {one: read_annotation(drawn.file(f"{one}.xml")) for one in listed}
    refuse_resized([(pictures[one], said[one].sides) for one in listed], f"data.root={root}: Annotations")
    classes = _classes(drawn, said)
    masks = top.child("SegmentationClass") if classes == CLASSES else None
    hard = [one for one in listed for each in said[one].objects if each.difficult and not difficult]
    unmasked: list[str] = []
    records = []
    for one in listed:
        dropped = {each.name for each in said[one].objects if each.difficult and not difficult}
        kept: dict[str, list[Box]] = defaultdict(list)
        for each in said[one].objects:
            if difficult or not each.difficult:
                kept[each.name].append(each.box)
        masked = masks.file(f"{one}.png") if masks is not None and f"{one}.png" in masks.entries else None
        unmasked += [one for label in kept if masked is not None and label in dropped]
        places = {}
        for label, boxes in kept.items():
            index = classes.index(label)
            of_all = masked is not None and label not in dropped
            mask = PictureMask(masked, frozenset({index + 1})) if masked is not None and of_all else None
            places[index] = Place(tuple(boxes), mask)
        record = Record(one, pictures[one], None, sides=said[one].sides)
        records.append(record.placed(dict(sorted(places.items()))))
    refuse_doubles(records)
    ignored = left_out("difficult objects", hard)
    ignored += left_out("masks that hold difficult objects", unmasked) + _unused(
        top, str(split), pictures, listed, masks
    )
    return FoundImages("voc", f"{top}, {split}", records, "the names in Annotations", ignored, classes)


def read_annotation(file: Stored) -> Annotation:
    """The objects of a VOC file, and the sides of its picture.

    Raises:
        CamsbenchError: it is none, or has a box that is none.
    """
    try:
        tree = fromstring(file.read(), forbid_dtd=True)
        objects = []
        for each in tree.iterfind("object"):
            xmin, ymin, xmax, ymax = (float(each.findtext(f"bndbox/{s}", "")) for s in ("xmin", "ymin", "xmax", "ymax"))
            if not (xmin <= xmax and ymin <= ymax):
                raise ValueError(f"a box from {xmin:g},{ymin:g} to {xmax:g},{ymax:g}")
            label = each.findtext("name", "").strip()
            if not label:
                raise ValueError("an object without a name")
            box = (xmin - 1, ymin - 1, xmax, ymax)
            objects.append(Object(label, box, each.findtext("difficult", "0").strip() == "1"))
        width, height = (int(tree.findtext(f"size/{side}", "0")) for side in ("width", "height"))
    except (ParseError, ValueError, DefusedXmlException) as error:
        raise CamsbenchError(f"data.root: {file} is no PASCAL VOC file ({error}): download it again") from error
    return Annotation(tuple(objects), (width, height) if width and height else None)


def _by_stem(folder: Folder) -> dict[str, Stored]:
    names = [name for name in folder.files if is_image(name, PICTURE_SUFFIXES)]
    return {one: folder.file(name) for one, name in zip(ids(names), names, strict=True)}


def _listed(top: Folder, split: str, pictures: dict[str, Stored]) -> list[str]:
    if split == ALL:
        annotated = set(top.child("Annotations").files)
        return sorted(one for one in pictures if f"{one}.xml" in annotated)
    lists = top.child("ImageSets/Main")
    if f"{split}.txt" not in lists.entries:
        there = [name.removesuffix(".txt") for name in lists.files if name.endswith(".txt") and "_" not in name]
        raise CamsbenchError(f"data.split={split}: {lists} has no such list; choose one of {', '.join([*there, ALL])}")
    lines = [line.split() for line in lists.file(f"{split}.txt").text().splitlines() if line.strip()]
    if any(len(words) > 1 for words in lines):
        raise CamsbenchError(
            f"data.split={split}: {split}.txt has more than a name in a line, as lists of one class have: choose a "
            "list of all classes"
        )
    return list(dict.fromkeys(words[0] for words in lines))


def _refuse_missing(top: Folder, listed: list[str], pictures: dict[str, Stored], drawn: Folder) -> None:
    annotated = set(drawn.files)
    for what, missing in (
        ("pictures are not in JPEGImages", [one for one in listed if one not in pictures]),
        ("annotations are not in Annotations", [one for one in listed if f"{one}.xml" not in annotated]),
    ):
        if missing:
            raise CamsbenchError(
                f"data.root={top}: {len(missing):,} of {len(listed):,} {what}, the first is {missing[0]}: put them "
                "there, or choose another data.split"
            )


def _classes(drawn: Folder, said: dict[str, Annotation]) -> tuple[str, ...]:
    names = {each.name for one in said.values() for each in one.objects}
    if names <= set(CLASSES):
        return CLASSES
    others = (name for name in drawn.files if name.endswith(".xml") and name.removesuffix(".xml") not in said)
    names |= {each.name for name in others for each in read_annotation(drawn.file(name)).objects}
    return tuple(sorted(names))


def _unused(
    top: Folder, split: str, pictures: dict[str, Stored], listed: list[str], masks: Folder | None
) -> tuple[LeftOut, ...]:
    ignored = left_out("pictures without an annotation", sorted(set(pictures) - set(listed)) if split == ALL else [])
    others = top.child("SegmentationClass").files if masks is None else []
    return ignored + left_out("masks whose values are of classes that are not VOC's 20", others)
