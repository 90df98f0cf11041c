"""The images of a place, how they were recognised, and what of it is not taken."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

from camsbench.data.classes import IMAGE_SUFFIXES, is_unread_picture
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError


@dataclass(frozen=True)
class LeftOut:
    """Files of a place that a run does not take: ``what`` they are, how many, and the first of them."""

    what: str
    count: int
    first: str

    def sentence(self) -> str:
        return f"Left out: {self.what} ({self.count:,}), the first is {self.first}."


def left_out(what: str, names: Sequence[str]) -> tuple[LeftOut, ...]:
    """What there is to say of the files ``names``: nothing where there are none."""
    return (LeftOut(what, len(names), min(names)),) if names else ()


def unread_pictures(names: Sequence[str], suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> tuple[LeftOut, ...]:
    """The pictures among files that are of a kind that is not read."""
    unread = [name for name in names if is_unread_picture(name, suffixes)]
    return left_out(f"pictures that are none of {', '.join(suffixes)}", unread)


@dataclass(frozen=True)
class FoundImages(Sequence[Record]):
    """Images, and how they were recognised.

    ``class_names`` are those that the records' labels count, of data whose classes are names; without them the labels
    are the network's own indices.
    """

    layout: str
    where: str
    records: list[Record]
    labels: str  # what said which class an image has
    left_out: tuple[LeftOut, ...] = ()
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.records)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        return self.records[place]


def ids(paths: Sequence[str]) -> list[str]:
    """Ids of images by their paths: without suffix, and with it where two would be the same."""
    stems = [posixpath.splitext(path)[0] for path in paths]
    count = Counter(stems)
    return [stem if count[stem] == 1 else path for stem, path in zip(stems, paths, strict=True)]


def unique(records: list[Record]) -> list[Record]:
    """The same records; where an id stands twice each has its folder before it, and its suffix where it still does.

    Raises:
        CamsbenchError: two images have the same folder and name.
    """
    if not _twice(records):
        return records
    records = [replace(r, image_id=f"{_folder(r)}/{r.image_id}") for r in records]
    twice = _twice(records)
    records = [replace(r, image_id=f"{_folder(r)}/{r.source.name}") if r.image_id in twice else r for r in records]
    refuse_doubles(records)
    return records


def refuse_doubles(records: Sequence[Record]) -> None:
    """See that each image has an id of its own: rows are kept by it.

    Raises:
        CamsbenchError: two have the same.
    """
    for twice in _twice(records):
        first, second = [str(r.source) for r in records if r.image_id == twice][:2]
        raise CamsbenchError(
            f"data: two images have the id {twice}, {first} and {second}: rename or remove one of them"
        )


def _twice(records: Sequence[Record]) -> set[str]:
    return {one for one, count in Counter(r.image_id for r in records).items() if count > 1}


def _folder(record: Record) -> str:
    """The folder that tells an image from others of its name: not the ``images`` that each class folder may have."""
    *above, own, _ = str(record.source).split("/")
    return f"{above[-1]}/{own}" if own == "images" and above else own
