"""Who may work in a run folder: one session, or several that each do another share of the same plan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import portalocker
from portalocker import LockFlags

from camsbench.errors import CamsbenchError


@dataclass(frozen=True)
class Shard:
    """Share ``number`` of ``of`` equal shares: every ``of``-th block, so that each has its part of what takes long."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """From ``runtime.shard``: such as ``3/8``, or None for the whole run."""
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d+)/(\d+)", str(text))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise CamsbenchError(f"runtime.shard={text}: give NUMBER/OF, such as 3/8 for the third of eight shares")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, block: int) -> bool:
        """Whether the block of this number is of this share."""
        return block % self.of == self.number - 1


@contextmanager
def hold(folder: Path, shard: Shard, plan: str) -> Iterator[bool]:
    """Hold a share of a folder's run; the locks end with the process, however that ends.

    Sessions of one plan share the lock of the plan, and each has that of its share to itself.

    Yields:
        Whether no other session was there when this one came.

    Raises:
        CamsbenchError: another session has the share, or follows another plan.
    """
    with ExitStack() as held:
        with mutex(folder):
            others = [path for path in folder.glob(".plan-*") if path.name != f".plan-{plan}"]
            if not all(_is_free(path) for path in others):
                raise CamsbenchError(
                    f"{folder} is in use by another run, of other images, blocks or shares: wait for it, or choose "
                    "another folder with output="
                )
            for path in others:
                path.unlink(missing_ok=True)
            alone = _is_free(folder / f".plan-{plan}")
            locks = [
                _try_lock(folder / f".plan-{plan}", LockFlags.SHARED),
                _try_lock(folder / f".shard-{shard.number}-of-{shard.of}", LockFlags.EXCLUSIVE),
            ]
            taken = [held.enter_context(lock) for lock in locks if lock is not None]
        if len(taken) < len(locks):
            share = "" if shard.of == 1 else f", of its share {shard}"
            raise CamsbenchError(
                f"{folder} is in use by another run{share}: wait for it, or choose another folder with output="
            )
        yield alone


@contextmanager
def mutex(folder: Path) -> Iterator[None]:
    """A moment alone among the sessions of a folder: what several of them write is written here.

    Raises:
        CamsbenchError: the file system has no locks.
    """
    with (folder / ".lock").open("a") as lock:
        try:
            portalocker.lock(lock, LockFlags.EXCLUSIVE)
        except portalocker.LockException as error:
            raise CamsbenchError(
                f"{folder}: its file system has no locks ({error}), which keep two runs out of one folder; choose "
                "another folder with output="
            ) from error
        yield


def in_use(folder: Path) -> list[str]:
    """The shares of a run that some session works on now, such as ``3/8``."""
    with mutex(folder):
        locks = [path for path in sorted(folder.glob(".shard-*-of-*")) if not _is_free(path)]
    return [path.name.removeprefix(".shard-").replace("-of-", "/") for path in locks]


def _try_lock(path: Path, kind: LockFlags) -> IO[str] | None:
    """The locked file, whose closing ends the lock; None where another session's lock is in the way."""
    file = path.open("a")
    try:
        portalocker.lock(file, kind | LockFlags.NON_BLOCKING)
    except portalocker.LockException:
        file.close()
        return None
    return file


def _is_free(path: Path) -> bool:
    lock = _try_lock(path, LockFlags.EXCLUSIVE)
    if lock is not None:
        lock.close()
    return lock is not None
