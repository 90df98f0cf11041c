"""``manifest.csv``: the images of a run in their order, each with its label and how many bytes it has."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from camsbench.data.fingerprint import encoded_length
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError

NAME = "manifest.csv"


def of_records(records: Sequence[Record]) -> pd.DataFrame:
    """A line an image; ``bytes`` is empty where the image would have to be read to know."""
    lengths = pd.array([encoded_length(r.source) for r in records], dtype="Int64")
    return pd.DataFrame(
        {"image_id": [r.image_id for r in records], "label": [r.label for r in records], "bytes": lengths}
    )


def read(path: Path) -> pd.DataFrame:
    """A manifest; camsbench 0.1.0 wrote it without ``bytes``."""
    types: dict[Any, Any] = {"image_id": str, "bytes": "Int64"}
    found = pd.read_csv(path, dtype=types, keep_default_na=False, na_values={"bytes": [""]})
    return found if "bytes" in found else found.assign(bytes=pd.array([None] * len(found), dtype="Int64"))


def added(old: pd.DataFrame, new: pd.DataFrame, path: Path, failed: Collection[str]) -> pd.DataFrame:
    """The images of ``old``, and those of ``new`` that are not among them.

    Args:
        failed: ids of images that could not be read: they may have been mended.

    Raises:
        CamsbenchError: another image is not what it was.
    """
    both = old.merge(new, on="image_id", how="left", suffixes=("", "_new"))
    for what, said in (("label", "label {}"), ("bytes", "{} bytes")):
        before, now = both[what], both[f"{what}_new"]
        others = before.notna() & now.notna() & (before != now).fillna(False)
        others &= ~both["image_id"].isin(failed) | (what == "label")
        if others.any():
            first = both[others].iloc[0]
            had, has = said.format(first[what]), said.format(int(first[f"{what}_new"]))
            raise CamsbenchError(
                f"{path}: image {first['image_id']} had {had} and now has {has}: the data changed "
                f"({int(others.sum()):,} of {len(old):,} images), choose another folder with output="
            )
    old = old.assign(bytes=both["bytes_new"].fillna(both["bytes"]))
    return pd.concat([old, new[~new["image_id"].isin(old["image_id"])]])
