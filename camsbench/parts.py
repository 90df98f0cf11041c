"""Numbered parquet files of a folder, each written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


class Parts:
    """``part-00001.parquet`` and so on. A crash leaves none half done, only a temporary file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """The parts, in the order in which they were written."""
        return sorted(self.folder.glob("part-*.parquet"))

    def last(self) -> int:
        """The highest number of a part, 0 when there is none."""
        return max((number(path) for path in self.paths()), default=0)

    def write(self, table: pa.Table, number: int) -> None:
        """Write, or write anew, the part of this number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / f"part-{number:05d}.parquet"
        temporary = self.folder / f".{final.name}.tmp"
        pq.write_table(table, temporary)
        publish(temporary, final)

    def read(self) -> pa.Table | None:
        """All parts as one table; None when there is none."""
        tables = [pq.read_table(path) for path in self.paths()]
        return pa.concat_tables(tables) if tables else None

    def clean(self, last: int) -> None:
        """Remove what a crash left: temporary files, and parts with a number above ``last``."""
        for path in [*self.folder.glob(".*.tmp"), *(path for path in self.paths() if number(path) > last)]:
            path.unlink()


def number(path: Path) -> int:
    """The number in a part's name."""
    return int(path.stem.removeprefix("part-"))


def publish(temporary: Path, final: Path) -> None:
    """Put a written file in its place, on the disk before its name is."""
    with temporary.open("rb+") as written:
        os.fsync(written.fileno())
    temporary.replace(final)
