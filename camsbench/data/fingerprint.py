"""What the images of a run are, wherever they lie and however they are packed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from camsbench.data.record import ImageSource, Record

READ = 16  # images whose bytes are read
TRIED = 256  # images that are opened at most to find as many that can be read


def sample(records: Sequence[Record]) -> dict[str, str]:
    """The hashes of the encoded bytes of ``READ`` images, spread evenly over all ids, by their ids.

    Whatever the number of images it reads two megabytes of ILSVRC2012 (of parquet shards, the row groups that hold
    them). Images that cannot be read are passed over: others stand in for them.
    """
    found: dict[str, str] = {}
    by_id = sorted(records, key=lambda record: record.image_id)
    for place in _spread(len(by_id)):
        if (digest := _digest(by_id[place])) is not None:
            found[by_id[place].image_id] = digest
        if len(found) == READ:
            break
    return found


def changed(before: Mapping[str, str], records: Sequence[Record], known: Mapping[str, str]) -> list[str]:
    """The ids of a sample whose images have other bytes now; one that is gone or cannot be read is not among them.

    ``known`` is a sample of now: its images are not read again.
    """
    asked = (record for record in records if record.image_id in before)
    now = {record.image_id: known.get(record.image_id) or _digest(record) for record in asked}
    return sorted(one for one, digest in now.items() if digest is not None and digest != before[one])


def encoded_length(source: ImageSource) -> int | None:
    """The bytes of an encoded image, where its place says so without reading it."""
    if isinstance(source, Path):
        return source.stat().st_size if source.is_file() else None
    length = getattr(source, "length", None)
    return length if type(length) is int else None


def _digest(record: Record) -> str | None:
    try:
        with record.source.open("rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:16]
    except Exception:  # files, archives and servers fail in different ways; the row of the image will say how
        return None


def _spread(count: int) -> Iterator[int]:
    """Up to ``TRIED`` different places among ``count``: the first ``READ`` lie evenly, the others between them."""
    seen: set[int] = set()
    for parts in (READ, TRIED):
        for part in range(parts):
            place = part * count // parts
            if place < count and place not in seen:
                seen.add(place)
                yield place
