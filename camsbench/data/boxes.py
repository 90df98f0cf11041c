"""Boxes of ILSVRC2012's validation images: the PASCAL VOC files of its archive, or Kaggle's table."""

from __future__ import annotations

import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import replace

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from camsbench.core.preprocess import Box
from camsbench.data import labels
from camsbench.data.record import Record
from camsbench.data.storage import Folder, Stored, locate
from camsbench.errors import CamsbenchError

ARCHIVE = "ILSVRC2012_bbox_val_v3.tgz"
PLACES = ("ILSVRC/Annotations/CLS-LOC/val", "Annotations/CLS-LOC/val", "bbox/val", "bbox", "val")
LARGEST = 2**20  # bytes of a file of boxes: those of ILSVRC2012 have a few thousand


def attach_boxes(records: Sequence[Record], root: str, boxes: str) -> list[Record]:
    """The records with the boxes that ``boxes`` holds, in pixels of the pictures; ``auto`` looks about in ``root``.

    Args:
        boxes: ``auto``, a folder of XML files, the archive of them (read as it is), or Kaggle's table.

    Raises:
        CamsbenchError: what is named is not there or not of this kind, or names none of the images.
    """
    place = _beside(locate("data.root", root)) if boxes == "auto" else locate("data.boxes", boxes)
    if place is None:
        return list(records)
    found = dict(_boxes(place, {r.image_id for r in records}))
    if boxes != "auto" and not found:
        raise CamsbenchError(
            f"data.boxes={boxes} has boxes of none of the {len(records)} images, whose first is {records[0].image_id}: "
            "give the boxes of the validation images"
        )
    return [replace(r, boxes=found[r.image_id], relative=False) if r.image_id in found else r for r in records]


def of_xml(text: bytes, where: str) -> tuple[Box, ...]:
    """The boxes of a PASCAL VOC file.

    Raises:
        CamsbenchError: it is none, or holds what no such file needs (entities, references elsewhere).
    """
    try:
        tree = fromstring(text, forbid_dtd=True)
        boxes = [tuple(float(box.findtext(side, "")) for side in ("xmin", "ymin", "xmax", "ymax"))
                 for box in tree.iterfind("object/bndbox")]  # fmt: skip
    except (ParseError, ValueError, DefusedXmlException) as error:
        raise CamsbenchError(f"data.boxes: {where} is no PASCAL VOC file ({error}): download it again") from error
    return tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in boxes)


def _beside(root: Folder | Stored) -> Folder | Stored | None:
    """The boxes that lie where people keep them: in the folder of the images, or beside it."""
    inner = root if isinstance(root, Folder) else root.folder
    for top in (inner, inner.above, inner.above.above):
        if ARCHIVE in top.entries:
            return top.file(ARCHIVE)
        if labels.SOLUTION in top.entries:
            return top.file(labels.SOLUTION)
        for place in (top.child(name) for name in PLACES):
            if any(name.endswith(".xml") for name in place.files[:10]):
                return place
    return None


def _boxes(place: Folder | Stored, wanted: set[str]) -> Iterator[tuple[str, tuple[Box, ...]]]:
    if isinstance(place, Folder):
        inside = place if any(name.endswith(".xml") for name in place.files) else place.child("val")
        for name in inside.files:
            if name.endswith(".xml") and (one := name.removesuffix(".xml")) in wanted:
                yield one, of_xml(inside.file(name).read(), name)
    elif place.name.endswith(".csv"):
        yield from ((one, boxes) for one, boxes in labels.read_labels(place).boxes.items() if one in wanted)
    else:
        yield from _of_archive(place, wanted)


def _of_archive(file: Stored, wanted: set[str]) -> Iterator[tuple[str, tuple[Box, ...]]]:
    """Straight out of the archive: nothing is written, and no member is read beyond its due size."""
    try:
        with file.stream() as opened, tarfile.open(fileobj=opened, mode="r|*") as archive:
            for member in archive:
                one = posixpath.basename(member.name).removesuffix(".xml")
                if one not in wanted or not member.isfile():
                    continue
                if member.size > LARGEST:
                    raise CamsbenchError(f"data.boxes={file}: {member.name} has {member.size:,} bytes: not its boxes")
                content = archive.extractfile(member)
                yield one, of_xml(content.read() if content else b"", member.name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CamsbenchError(f"data.boxes={file} cannot be read ({error}): download {ARCHIVE} again") from error
