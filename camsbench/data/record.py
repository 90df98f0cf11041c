"""One labelled image of a run, wherever it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, Any, Literal, Protocol

from camsbench.core.preprocess import Box


class ImageSource(Protocol):
    """An encoded image: a ``pathlib.Path``, or what lies in an archive, a shard or on a server.

    ``str(source)`` says where, ``name`` which file it was.
    """

    @property
    def name(self) -> str: ...

    def open(self, mode: Literal["rb"]) -> IO[Any]: ...


@dataclass(frozen=True)
class Record:
    """One labelled image: ``boxes`` in pixels of the picture, or in fractions of its sides where ``relative``."""

    image_id: str
    source: ImageSource
    label: int
    boxes: tuple[Box, ...] = ()
    relative: bool = False
