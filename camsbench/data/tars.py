"""Images inside tars, read where they lie; a tar's table of contents is made once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from camsbench.data.classes import image_id, index_of, is_image, is_number
from camsbench.data.record import Record
from camsbench.data.storage import Stored
from camsbench.errors import CamsbenchError
from camsbench.files import publish, user_cache

log = logging.getLogger(__name__)
SCHEMA = pa.schema({"name": pa.string(), "start": pa.int64(), "size": pa.int64()})
CLASS_SUFFIXES = (".cls", ".json")


def images(archive: Stored) -> list[tuple[str, Stored]]:
    """The images of a tar with their ids, in the tar's order."""
    return [(image_id(name), member) for name, member in members(archive) if is_image(name)]


def has_classes(archive: Stored) -> bool:
    """Whether a tar holds classes beside its images."""
    return any(name.endswith(CLASS_SUFFIXES) for name, _ in members(archive))


def samples(archive: Stored) -> tuple[list[Record], list[str]]:
    """The samples of a webdataset tar, ``KEY.jpg`` and its class in ``KEY.cls`` or in ``KEY.json``; keys without image.

    Raises:
        CamsbenchError: an image has no class.
    """
    grouped: dict[str, dict[str, Stored]] = {}
    for name, member in members(archive):
        key, _, suffix = name.rpartition(".")
        sample = grouped.setdefault(key, {})
        if is_image(name) and "image" in sample:
            raise CamsbenchError(
                f"data.root={archive}: the sample {key} has two images, {sample['image'].name} and {member.name}: "
                "write the shards with one"
            )
        if not is_image(name) and f".{suffix.lower()}" in CLASS_SUFFIXES and suffix.lower() in sample:
            raise CamsbenchError(f"data.root={archive}: the sample {key} has two .{suffix.lower()}: write it with one")
        sample["image" if is_image(name) else suffix.lower()] = member
    found = []
    for key, sample in grouped.items():
        if "image" in sample:
            found.append(Record(image_id(sample["image"].name), sample["image"], _label(archive, key, sample)))
    if not found:
        raise CamsbenchError(f"data.root={archive}: no image lies in this tar; give that of the validation images")
    return found, [key for key, sample in grouped.items() if "image" not in sample and "cls" in sample]


def members(archive: Stored) -> Iterator[tuple[str, Stored]]:
    """Names and places of a tar's files."""
    for name, start, size in _contents(archive):
        yield name, Stored(archive.fs, archive.path, start, start + size, name)


@lru_cache(maxsize=64)
def _contents(archive: Stored) -> list[tuple[str, int, int]]:
    """Name, start and size of each file, from the cache where the tar has not changed since.

    Raises:
        CamsbenchError: it is no tar, it is compressed, or it ends early.
    """
    info = archive.fs.info(archive.path)
    stamp = [archive.path, info.get("size"), str(info.get("mtime") or info.get("ETag") or info.get("etag"))]
    path = user_cache() / "tars" / f"{hashlib.sha256(json.dumps(stamp).encode()).hexdigest()[:16]}.parquet"
    if path.is_file():
        return _rows(pq.read_table(path))
    log.info("reading the table of contents of %s, once", archive)
    try:
        with archive.stream() as opened, tarfile.open(fileobj=opened, mode="r:") as tar:
            found = [(m.name, m.offset_data, m.size) for m in tar if m.isfile()]
            end = max((start + size for _, start, size in found), default=0)
    except tarfile.TarError as error:
        raise CamsbenchError(
            f"data.root={archive}: no tar that can be read in place ({error}); unpack .gz first, or download it again"
        ) from error
    if info.get("size") is not None and end > info["size"]:
        raise CamsbenchError(f"data.root={archive} ends in the middle of an image: download it again")
    _keep(found, path)
    return found


def _keep(found: list[tuple[str, int, int]], path: Path) -> None:
    table = pa.table(dict(zip(SCHEMA.names, zip(*found, strict=True), strict=True)) if found else [], schema=SCHEMA)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, lambda temporary: pq.write_table(table, temporary))
    except (OSError, CamsbenchError) as error:  # a cache that cannot be written is a cache that is not there
        log.warning("the table of contents was not kept: %s", error)


def _rows(table: pa.Table) -> list[tuple[str, int, int]]:
    return list(zip(*(table[name].to_pylist() for name in SCHEMA.names), strict=True))


def _label(archive: Stored, key: str, sample: dict[str, Stored]) -> int:
    where = f"data.root={archive}: the sample {key}"
    try:
        if "cls" in sample:
            text = sample["cls"].text().strip()
            return int(text) if is_number(text) else index_of(text, where)
        if "json" in sample:
            said = json.loads(sample["json"].text())
            value = next(said[name] for name in ("label", "cls", "class", "target") if name in said)
            return value if type(value) is int else index_of(str(value), where)
    except (ValueError, StopIteration, UnicodeDecodeError) as error:
        raise CamsbenchError(
            f"{where} has a class that cannot be read: {str(error) or 'no label in its .json'}"
        ) from error
    raise CamsbenchError(f"{where} has no .cls and no .json with its class: write the shards with one")
