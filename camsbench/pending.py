"""What a run still has to do: pure planning over the job's images, layers and methods."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from camsbench.config.job import Job
from camsbench.data.record import Record
from camsbench.store.folder import RunFolder
from camsbench.store.schema import Task


@dataclass(frozen=True)
class Pending:
    """For each image of the run that is not finished, by its place in ``job.records``, the tasks that are left."""

    tasks: dict[int, list[Task]]

    @property
    def maps(self) -> int:
        return sum(len(tasks) for tasks in self.tasks.values())


def pending(job: Job, folder: RunFolder) -> Pending:
    """The tasks of a job that have no row on disk."""
    done = folder.done()
    return where(job, lambda record, task: (record.image_id, task.method, task.layer) not in done)


def where(job: Job, wanted: Callable[[Record, Task], bool], count: int | None = None) -> Pending:
    """The tasks that are ``wanted`` of each of the first ``count`` images, within the methods' limits."""
    every = [Task(split.layer, method) for split in job.splits for method in job.methods]
    found: dict[int, list[Task]] = {}
    for place, record in enumerate(job.records[:count]):
        tasks = [t for t in every if place < job.limits.get(t.method, len(job.records)) and wanted(record, t)]
        if tasks:
            found[place] = tasks
    return Pending(found)
