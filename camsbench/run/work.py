"""What a run still has to do: tasks, by image, in blocks, of one share. Pure planning, nothing is done here."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from camsbench.config.job import Job
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.store.folder import RunFolder
from camsbench.store.schema import Task
from camsbench.store.shares import Shard


@dataclass(frozen=True)
class Pending:
    """For each image of the run that is not finished, by its place in ``job.records``, the tasks that are left."""

    tasks: dict[int, list[Task]]

    @property
    def maps(self) -> int:
        return sum(len(tasks) for tasks in self.tasks.values())


def find_pending(job: Job, folder: RunFolder) -> Pending:
    """The tasks of a job that have no row on disk."""
    done = folder.done()
    return select_tasks(job, lambda record, task: (record.image_id, task.method, task.layer) not in done)


def select_tasks(job: Job, wanted: Callable[[Record, Task], bool]) -> Pending:
    """The tasks of each image that are ``wanted``, within the methods' limits."""
    every = [Task(split.layer, method) for split in job.splits for method in job.methods]
    found: dict[int, list[Task]] = {}
    for place, record in enumerate(job.records):
        tasks = [t for t in every if place < job.limits.get(t.method, len(job.records)) and wanted(record, t)]
        if tasks:
            found[place] = tasks
    return Pending(found)


@dataclass(frozen=True)
class Block:
    """Some of a run's images, by their place in it, with the tasks that are left of each: what becomes one part."""

    number: int
    tasks: dict[int, list[Task]]

    @property
    def places(self) -> list[int]:
        return list(self.tasks)


def make_blocks(pending: Pending, size: int, shard: Shard) -> list[Block]:
    """What is left of a share, by blocks: block ``n`` holds the places ``n · size`` and on, whatever is done of it."""
    found: dict[int, dict[int, list[Task]]] = {}
    for place, tasks in pending.tasks.items():
        if shard.has(place // size):
            found.setdefault(place // size, {})[place] = tasks
    return [Block(number, found[number]) for number in sorted(found)]


def check_shares(images: int, size: int, shard: Shard) -> None:
    """Refuse more shares than there are blocks."""
    count = -(-images // size)
    if shard.of > count:
        raise CamsbenchError(
            f"runtime.shard={shard}: {images} images are {count} blocks of {size}; use at most {count} shares, or a "
            "smaller runtime.block"
        )


def hash_plan(records: Iterable[Record], size: int, shard: Shard) -> str:
    """What the shares of one run have in common; sessions of another plan might do the same images again."""
    digest = hashlib.sha256(f"{size} {shard.of}".encode())
    for record in records:
        digest.update(f"\n{record.image_id}".encode())
    return digest.hexdigest()[:12]


def chunk(places: Sequence[int], size: int) -> list[list[int]]:
    """Consecutive groups of at most ``size``."""
    return [list(places[i : i + size]) for i in range(0, len(places), size)]
