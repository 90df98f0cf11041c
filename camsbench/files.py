"""Files that are written whole or not at all, and where camsbench keeps what it can make again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs

from camsbench.errors import CamsbenchError


def user_cache() -> Path:
    """This platform's folder for what programs may write again, and the one of camsbench in it."""
    return Path(platformdirs.user_cache_dir("camsbench", appauthor=False))


def publish(final: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name, and put it in its place when it is on the disk.

    Raises:
        CamsbenchError: it cannot be written.
    """
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")  # others may write the same
    try:
        write(temporary)
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(final)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CamsbenchError(
            f"cannot write {final}: {os.strerror(error.errno) if error.errno else error}; what was finished before is "
            "kept: when there is room, the same command goes on from there"
        ) from error


def write_text(path: Path, text: str) -> Path:
    """Write a text file atomically.

    Raises:
        CamsbenchError: it cannot be written.
    """
    publish(path, lambda temporary: temporary.write_text(text))
    return path
