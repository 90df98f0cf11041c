"""Who does the blocks of a run: this process, several on this machine, or actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from importlib import import_module
from typing import Protocol

from camsbench.config.job import Job
from camsbench.config.runtime import CREWS
from camsbench.run.account import Closing
from camsbench.run.executors.pool import conduct
from camsbench.run.progress import Progress
from camsbench.run.work import Block
from camsbench.run.worker import AHEAD, Done, Worker
from camsbench.store.maps import MapFolder

ME = 0


class Inline:
    """The plain loop, in the order of the blocks."""

    def __init__(self, job: Job, maps: MapFolder) -> None:
        self.closings: list[Closing] = []
        self._job = job
        self._maps = maps

    def run(self, blocks: Sequence[Block], progress: Progress) -> Generator[Done, None, None]:
        """As ``Executor.run``."""
        if not blocks:
            return
        worker = Worker(self._job, self._maps)
        try:
            progress.begin()
            for i, block in enumerate(blocks):
                progress.given(ME, block)
                done = worker.work(block, blocks[i + 1 : i + 1 + AHEAD], lambda rows: progress.tick(ME, rows))
                yield done
                progress.finished(ME, done)
            progress.end()
            self.closings = [worker.close()]
        finally:
            worker.drop()


class Executor(Protocol):
    """Does blocks, in any order; ``closings`` is what its workers say when all are done."""

    closings: list[Closing]

    def run(self, blocks: Sequence[Block], progress: Progress) -> Generator[Done, None, None]:
        """Each block when it is done.

        Raises:
            CamsbenchError: a block cannot be done; those that were yielded are whole.
        """
        ...


class Crewed:
    """Several workers side by side: see ``camsbench.run.executors.pool``."""

    def __init__(self, job: Job, maps: MapFolder) -> None:
        self.closings: list[Closing] = []
        self._job = job
        self._maps = maps

    def run(self, blocks: Sequence[Block], progress: Progress) -> Generator[Done, None, None]:
        """As ``Executor.run``."""
        if not blocks:
            return
        options = self._job.runtime.executor
        crew = getattr(import_module(f"camsbench.run.executors.{options.name}"), CREWS[options.name])(
            self._job, self._maps
        )
        try:
            yield from conduct(crew, blocks, options.retries, self._job.split, progress)
            progress.end()
            self.closings = crew.close()
        finally:
            crew.stop()


def executor(job: Job, maps: MapFolder) -> Executor:
    """What ``runtime/executor`` asks for; one process on this machine is this one."""
    options = job.runtime.executor
    return Inline(job, maps) if options.name == "local" and options.processes == 1 else Crewed(job, maps)
