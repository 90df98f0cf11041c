"""What a run takes of images that have several labels or none, by what it asks of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from camsbench.data.found import LeftOut, left_out, refuse_doubles
from camsbench.data.record import LABEL, Place, Record


def once_a_label(records: Sequence[Record]) -> tuple[list[Record], tuple[LeftOut, ...]]:
    """For the score of an image's label: an image of several labels once for each, with that label's boxes and mask.

    Its ids are ``IMAGE_ID:LABEL``, the class index. Images without a label are left out.

    Raises:
        CamsbenchError: two have the same id.
    """
    found: list[Record] = []
    for record in records:
        if record.label is not None:
            found.append(record)
            continue
        for label, place in record.several.items():
            found.append(
                replace(
                    record, image_id=f"{record.image_id}{LABEL}{label}", label=label,
                    boxes=place.boxes, mask=place.mask, several={},
                )
            )  # fmt: skip
    refuse_doubles(found)
    return found, left_out("images without a label", [r.image_id for r in records if not r.labels])


def once_an_image(records: Sequence[Record], index: int | None) -> list[Record]:
    """For the score of one class of all images (``index``), or of the class that each is predicted as (None)."""
    return without_places(records) if index is None else of_class(records, index)


def of_class(records: Sequence[Record], index: int) -> list[Record]:
    """The images with boxes and masks of class ``index`` alone: none where an image is not of it."""
    found = []
    for record in records:
        if record.label == index:
            found.append(record)
            continue
        own = record.several.get(index, Place())
        found.append(replace(record, boxes=own.boxes, mask=own.mask, truth=None, distractor=None))
    return found


def without_places(records: Sequence[Record]) -> list[Record]:
    """The images; those of no label, or of several, without boxes and masks, which may be of another class.

    An image of one label keeps its own: they show the one object that is known of it.
    """
    return [
        record
        if record.label is not None
        else replace(record, boxes=(), mask=None, several={label: Place() for label in record.several})
        for record in records
    ]
