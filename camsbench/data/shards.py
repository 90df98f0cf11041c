"""Images inside Hugging Face's parquet shards, read a row group at a time."""

from __future__ import annotations

import io
import posixpath
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from camsbench.data.classes import image_id
from camsbench.data.record import Record
from camsbench.data.storage import Stored
from camsbench.errors import CamsbenchError

GROUPS = 4  # row groups of about 100 images that are kept for the images that follow
_groups: OrderedDict[tuple[str, int], pa.ChunkedArray] = OrderedDict()
_lock = Lock()


@dataclass(frozen=True)
class ShardImage:
    """The encoded image in row ``row`` of a shard's row group ``group``."""

    shard: Stored
    group: int
    row: int
    member: str

    def __str__(self) -> str:
        return f"{self.shard}/{self.member}"

    @property
    def name(self) -> str:
        return posixpath.basename(self.member)

    def open(self, mode: Literal["rb"] = "rb") -> IO[bytes]:
        return io.BytesIO(_group(self.shard, self.group)[self.row].as_py()["bytes"])


def rows(shard: Stored) -> list[Record]:
    """The images of a shard, its columns ``image`` (bytes and path) and ``label``.

    Raises:
        CamsbenchError: it is no parquet file, lacks the columns, or has images without a label.
    """
    found = []
    try:
        with shard.stream() as opened:
            file = pq.ParquetFile(opened)
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["image.path", "label"])  # no image is read
                paths, labels = table["image"].to_pylist(), table["label"].to_pylist()
                for row, (path, label) in enumerate(zip(paths, labels, strict=True)):
                    name = (path or {}).get("path") or f"{posixpath.basename(shard.path)}-{group}-{row}"
                    if not isinstance(label, int) or label < 0:
                        raise CamsbenchError(f"data.root={shard}: {name} has no label; give the validation split")
                    found.append(Record(image_id(name), ShardImage(shard, group, row, name), label))
    except (pa.ArrowInvalid, KeyError, TypeError, AttributeError) as error:
        raise CamsbenchError(
            f"data.root={shard}: no parquet shard with the columns image (bytes, path) and label: {error}"
        ) from error
    return found


def _group(shard: Stored, group: int) -> Any:
    """A row group's images; the last few are kept, since images are read in order."""
    key = (str(shard), group)
    with _lock:  # one thread reads what the others wait for
        if key not in _groups:
            with shard.stream() as opened:
                _groups[key] = pq.ParquetFile(opened).read_row_group(group, columns=["image"])["image"]
            while len(_groups) > GROUPS:
                _groups.popitem(last=False)
        _groups.move_to_end(key)
        return _groups[key]
