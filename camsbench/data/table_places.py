"""The boxes and masks of a table's rows, and whose they are among an image's labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite

from camsbench.core.preprocess import Box
from camsbench.data.masks import PictureMask, together
from camsbench.data.record import ImageSource, MaskSource, Place, Record
from camsbench.data.table_columns import Columns
from camsbench.data.tabular import Table
from camsbench.errors import CamsbenchError


def boxes_of(read: Table, columns: Columns, rows: Sequence[int], relative: bool) -> dict[int, Box]:
    """The boxes of rows that have one.

    Raises:
        CamsbenchError: one is no box, or they are fractions where pixels are said, or the other way round.
    """
    found: dict[int, Box] = {}
    for row in rows if columns.box else ():
        fields = [read.text[column][row] for column in columns.box or ()]
        if not any(fields):
            continue
        try:
            a, b, c, d = map(float, fields)
        except ValueError:
            a = b = c = d = float("nan")
        box = (a, b, c, d) if columns.corners else (a, b, a + c, b + d)
        if not all(map(isfinite, box)) or box[2] <= box[0] or box[3] <= box[1]:
            raise CamsbenchError(
                f"{read.where}: row {row + 1}, of {read.text[columns.path][row]}, has the box "
                f"{', '.join(f or 'nothing' for f in fields)}, which is none: {', '.join(columns.box or ())} are its "
                "columns; mend it, or leave all four blank"
            )
        found[row] = box
    largest = max((max(box) for box in found.values()), default=None)
    if largest is not None and relative and largest > 1:
        raise CamsbenchError(f"data.relative=true: a box of {read.where} ends at {largest:g}: drop the option")
    if largest is not None and not relative and largest <= 1:
        raise CamsbenchError(
            f"{read.where}: no box ends beyond {largest:g} pixels, so they look like fractions of the pictures' sides: "
            "say so with data.relative=true"
        )
    return found


def placed(
    read: Table,
    columns: Columns,
    record: Record,
    rows: Sequence[int],
    labels: Sequence[tuple[int, ...]],
    boxes: Mapping[int, Box],
    masks: Mapping[int, ImageSource],
) -> Record:
    """An image with the labels, boxes and masks of its rows.

    Raises:
        CamsbenchError: it has rows without a place, or places of which nothing says whose they are.
    """
    of_mask: dict[int, MaskSource] = {row: PictureMask(masks[row]) for row in rows if row in masks}
    path = read.text[columns.path][rows[0]]
    for row in rows:
        if len(rows) > 1 and row not in boxes and row not in of_mask:
            raise CamsbenchError(
                f"{read.where}: {path} has {len(rows)} rows, and row {row + 1} has neither box nor mask: keep one row "
                "an image (several labels are A;B in the column 'labels'), or choose rows with data.where={split: test}"
            )
        if len(labels[row]) > 1 and (row in boxes or row in of_mask):
            raise CamsbenchError(
                f"{read.where}: row {row + 1}, of {path}, has several labels and a box or mask, and nothing says "
                "whose: give each label a row of its own, with its box"
            )
    if len(rows) == 1 and len(labels[rows[0]]) > 1:
        return record.placed({label: Place() for label in labels[rows[0]]})
    if of_mask and len(of_mask) < len(rows):
        raise CamsbenchError(f"{read.where}: of the rows of {path} some have a mask and some none: give each its mask")
    groups: dict[int | None, list[int]] = {}
    for row in rows:
        groups.setdefault(labels[row][0] if labels[row] else None, []).append(row)
    places = {
        label: Place(tuple(boxes[row] for row in group if row in boxes), together([of_mask.get(row) for row in group]))
        for label, group in groups.items()
    }
    if None not in places:
        return record.placed({label: place for label, place in places.items() if label is not None})
    if len(places) > 1:
        raise CamsbenchError(
            f"{read.where}: of the rows of {path} some have a label and some none: give each its label"
        )
    return replace(record, boxes=places[None].boxes, mask=places[None].mask)
