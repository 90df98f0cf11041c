"""Parquet files of a folder, one for each block of a run and time that it was worked on, each written whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from camsbench.files import publish

MAGIC = b"PAR1"  # how a parquet file begins and ends


class Parts:
    """``part-00003-01.parquet``: the first part of block 3. A crash leaves none half done, only a temporary file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def paths(self) -> list[Path]:
        """The parts: the first of each block, then the second of each, and so on."""
        return sorted(self.folder.glob("part-*.parquet"), key=lambda path: (path.stem[-2:], path.name))

    def free(self, block: int) -> str:
        """A name for the next part of a block."""
        revision = 1
        while (self.folder / (name := f"part-{block:05d}-{revision:02d}.parquet")).exists():
            revision += 1
        return name

    def write(self, table: pa.Table, name: str) -> None:
        """Write, or write anew, the part of this name.

        Raises:
            CamsbenchError: it cannot be written, as on a full disk; what was there before is there still.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        final = self.folder / name
        publish(final, lambda temporary: pq.write_table(table, temporary))

    def read(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Each part's table, or some of its columns, one after another."""
        return (_table(path, columns) for path in self.paths())

    def broken(self) -> list[str]:
        """Names of parts that a crash of the machine cut short, or emptied."""
        return [path.name for path in self.paths() if not _whole(path)]

    def set_aside(self, name: str) -> None:
        """Take a part, where it is there, out of the run; its bytes stay."""
        if (path := self.folder / name).exists():
            path.rename(path.with_name(f"{name}.broken"))

    def clean(self, names: Collection[str]) -> None:
        """Remove what a crash left: temporary files, and parts that are not among ``names``."""
        for path in [*self.folder.glob(".*.tmp"), *(path for path in self.paths() if path.name not in names)]:
            path.unlink()


def _table(path: Path, columns: Sequence[str] | None) -> pa.Table:
    """Small files are read fastest one by one, without anything that would help with large ones."""
    with pq.ParquetFile(path, memory_map=True, pre_buffer=False) as part:
        return part.read(columns, use_threads=False)


def _whole(path: Path) -> bool:
    with path.open("rb") as part:
        begins = part.read(len(MAGIC))
        part.seek(max(0, path.stat().st_size - len(MAGIC)))
        return begins == part.read() == MAGIC
