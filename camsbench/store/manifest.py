"""``manifest.csv``: the images of a run in their order, and what must be as it was when the run goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from camsbench.data.fingerprint import encoded_length
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError

NAME = "manifest.csv"
TYPES: dict[str, Any] = {"image_id": "str", "label": "Int64", "bytes": "Int64", "boxes": "str", "cells": "str"}


SAID = {
    "label": "label {}",
    "bytes": "{} bytes",
    "boxes": "boxes of the hash {}",
    "cells": "columns of the hash {} in the table",
}


def of_records(records: Sequence[Record], boxes: bool = False) -> pd.DataFrame:
    """A line an image: id, label, ``bytes`` of its file where they are known unread, and hashes of its ``boxes`` and
    masks and of its further columns.

    Args:
        records: the images.
        boxes: whether the run looks at boxes or masks; else the column is empty.
    """
    lines = [
        (r.image_id, r.label, encoded_length(r.source), hash_boxes(r) if boxes else None, _hash_cells(r))
        for r in records
    ]
    return pd.DataFrame(lines, columns=list(TYPES)).astype(TYPES)


def hash_boxes(record: Record) -> str:
    """Eight hex digits of an image's boxes and mask, also of its several labels; ``none`` where it has neither."""
    places = {label: place for label, place in sorted(record.several.items()) if place.boxes or place.mask is not None}
    said: tuple[object, ...] = (record.boxes, record.relative)
    if record.mask is not None or places:
        said += (str(record.mask), [(label, place.boxes, str(place.mask)) for label, place in places.items()])
    found = record.boxes or record.mask is not None or places
    return hashlib.sha256(repr(said).encode()).hexdigest()[:8] if found else "none"


def _hash_cells(record: Record) -> str | None:
    """Eight hex digits of what a table says further of an image."""
    if not record.cells:
        return None
    return hashlib.sha256(repr(sorted(record.cells.items())).encode()).hexdigest()[:8]


def read(path: Path) -> pd.DataFrame:
    """A manifest; camsbench 0.1.0 wrote ids and labels alone."""
    found = pd.read_csv(
        path, dtype=TYPES, keep_default_na=False, na_values={what: [""] for what in TYPES if what != "image_id"}
    )
    return found.reindex(columns=list(TYPES)).astype(TYPES)


def added(old: pd.DataFrame, new: pd.DataFrame, path: Path, measured: Callable[[], set[str]]) -> pd.DataFrame:
    """The images of ``old``, and those of ``new`` that are not among them.

    Args:
        old: the manifest as it is.
        new: lines of a session.
        path: the manifest's file, for the sentence.
        measured: gives the ids of images that have a row without an error: others may have been mended.

    Raises:
        CamsbenchError: another image is not what it was.
    """
    both = old.merge(new, on="image_id", how="left", suffixes=("", "_new"))
    for what, said in (
        ("label", "label {}"),
        ("bytes", "{} bytes"),
        ("boxes", "boxes of the hash {}"),
        ("cells", "columns of the hash {}"),
    ):
        before, now = both[what], both[f"{what}_new"]
        others = before.notna() & now.notna() & (before != now).fillna(False)
        if what == "bytes" and others.any():
            others &= both["image_id"].isin(measured())
        if others.any():
            first = both[others].iloc[0]
            had, has = said.format(first[what]), said.format(first[f"{what}_new"])
            raise CamsbenchError(
                f"{path}: image {first['image_id']} had {had} and now has {has}: the data changed "
                f"({int(others.sum()):,} of {len(old):,} images), choose another folder with output="
            )
    known = {what: both[f"{what}_new"].fillna(both[what]) for what in ("bytes", "boxes", "cells")}
    return pd.concat([old.assign(**known), new[~new["image_id"].isin(old["image_id"])]])
