"""Blocks done by this very process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from camsbench.accounting import Closing
from camsbench.blocks import Block
from camsbench.config.job import Job
from camsbench.progress import Progress
from camsbench.store.maps import MapFolder
from camsbench.worker import AHEAD, Done, Worker

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
