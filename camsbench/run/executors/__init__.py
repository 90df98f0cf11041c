"""Who does the blocks of a run: this process, several on this machine, or actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from camsbench.config.job import Job
from camsbench.run.account import Closing
from camsbench.run.executors.pool import WorkerPool
from camsbench.run.progress import Progress
from camsbench.run.work import Block
from camsbench.run.worker import BLOCKS_AHEAD, BlockResult, Worker
from camsbench.store.maps import MapFolder

THIS_PROCESS = 0  # its number among the workers


class InlineExecutor:
    """The plain loop in this process, in the order of the blocks.

    As of every executor, ``closings`` is what its workers say of their work when all of it is done.
    """

    def __init__(self, job: Job, maps: MapFolder) -> None:
        self.closings: list[Closing] = []
        self._job = job
        self._maps = maps

    def run(self, blocks: Sequence[Block], progress: Progress) -> Generator[BlockResult, None, None]:
        """Each block when it is done; those that were yielded are whole, also where an error ends the run."""
        if not blocks:
            return
        worker = Worker(self._job, self._maps)
        try:
            progress.start_clock()
            for i, block in enumerate(blocks):
                progress.begin_block(THIS_PROCESS, block)
                ahead = blocks[i + 1 : i + 1 + BLOCKS_AHEAD]
                result = worker.do_block(block, ahead, lambda rows: progress.add_rows(THIS_PROCESS, rows))
                yield result
                progress.finish_block(THIS_PROCESS, result)
            progress.stop_clock()
            self.closings = [worker.close()]
        finally:
            worker.abort()


def choose_executor(job: Job, maps: MapFolder) -> InlineExecutor | WorkerPool:
    """What ``runtime/executor`` asks for; one process on this machine is this one."""
    options = job.runtime.executor
    if options.name == "ray":
        from camsbench.run.executors.ray import RayPool

        return RayPool(job)
    if options.processes == 1:
        return InlineExecutor(job, maps)
    from camsbench.run.executors.local import LocalPool

    return LocalPool(job)
