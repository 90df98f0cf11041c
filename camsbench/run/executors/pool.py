"""Workers side by side: each has a block, and the next to read ahead; when one is lost, another takes its place.

Not by ``concurrent.futures.ProcessPoolExecutor``: one process that is killed breaks that whole pool, so that the blocks
of all workers are lost and every worker builds its network again. Here it is one block and one network.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence

from camsbench.config.job import Job
from camsbench.errors import CamsbenchError
from camsbench.run.account import Closing
from camsbench.run.executors.messages import Event, LogLine, RowsDone, RunRefused, WorkerLost, WorkerReady
from camsbench.run.executors.schedule import Schedule
from camsbench.run.progress import Progress
from camsbench.run.work import Block
from camsbench.run.worker import BlockResult

log = logging.getLogger(__name__)

WAIT = 1.0  # seconds for which events are waited for
CLOSING = 300.0  # seconds that the workers' last measurements may take


class WorkerPool(ABC):
    """An executor whose workers are other processes, known by number."""

    def __init__(self, job: Job) -> None:
        self.closings: list[Closing] = []
        self._job = job
        self._schedule = Schedule((), 0)
        self._idle: list[int] = []
        self._alive = 0
        self._lost_in_vain = 0  # one after another, none of which got to a block
        self._last_loss = ""
        self._logged: set[str] = set()

    @abstractmethod
    def open(self) -> int:
        """Find out how many workers there may be."""

    @abstractmethod
    def start_worker(self) -> None:
        """Start one more, which says ``WorkerReady``, ``RunRefused`` or ``WorkerLost``."""

    @abstractmethod
    def send_block(self, worker: int, block: Block, ahead: Sequence[Block]) -> None:
        """Let a worker do a block, while it reads the images of those ``ahead``."""

    @abstractmethod
    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """What workers say, waiting for at most so long."""

    @abstractmethod
    def ask_closings(self) -> set[int]:
        """Ask workers what their work took, which is their last event; returns who was asked."""

    @abstractmethod
    def kill_workers(self) -> None:
        """End all that are left at once."""

    def run(self, blocks: Sequence[Block], progress: Progress) -> Generator[BlockResult, None, None]:
        """Each block when it is done, in any order; those that were yielded are whole.

        Raises:
            CamsbenchError: a worker refuses the run or has another network, none can be started, or a block took
                ``retries`` more workers than one with it.
        """
        if not blocks:
            return
        self._schedule = Schedule(blocks, self._job.runtime.executor.retries)
        try:
            self._alive = min(self.open(), len(blocks))
            for _ in range(self._alive):
                self.start_worker()
            yield from self._do_blocks(progress)
            self._refuse_given_up()
            progress.stop_clock()
            self.closings = list(self._receive_closings())
        finally:
            self.kill_workers()

    def _do_blocks(self, progress: Progress) -> Iterator[BlockResult]:
        while self._schedule.unfinished:
            for worker, event in self.events(WAIT):
                match event:
                    case WorkerReady():
                        self._check_weights(event)
                        progress.start_clock()
                        progress.add_worker(worker, event.where)
                        self._idle.append(worker)
                        self._lost_in_vain = 0
                    case RowsDone(count):
                        progress.add_rows(worker, count)
                    case LogLine():
                        self._log_once(event)
                    case RunRefused(sentence):
                        raise CamsbenchError(sentence)
                    case BlockResult():
                        self._schedule.finish(worker)
                        self._idle.append(worker)
                        self._send_blocks(progress)  # before these rows are written
                        yield event
                        progress.finish_block(worker, event)
                    case WorkerLost(reason):
                        progress.remove_worker(worker)
                        self._replace(worker, reason)
            self._send_blocks(progress)
            if not self._alive and self._schedule.unfinished:
                raise CamsbenchError(f"no worker could be started: {self._last_loss}")

    def _send_blocks(self, progress: Progress) -> None:
        for worker in list(self._idle):
            if (assigned := self._schedule.assign(worker)) is not None:
                self._idle.remove(worker)
                progress.begin_block(worker, assigned[0])
                self.send_block(worker, *assigned)

    def _replace(self, worker: int, reason: str) -> None:
        """Go on without a worker, and with another where there is work for it."""
        block = self._schedule.lose(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        self._alive -= 1
        self._lost_in_vain += block is None
        self._last_loss = reason
        log.warning("%s: %s", reason, self._what_follows(block))
        needed = self._schedule.waiting > len(self._idle)
        if needed and self._lost_in_vain <= self._job.runtime.executor.retries:
            self.start_worker()
            self._alive += 1

    def _what_follows(self, block: Block | None) -> str:
        if block is None:
            return "another takes its place" if self._schedule.unfinished else "its work was done"
        if block in self._schedule.given_up:
            return f"block {block.number} is given up"
        return f"block {block.number} is done again by another"

    def _receive_closings(self) -> Iterator[Closing]:
        asked = self.ask_closings()
        until = time.monotonic() + CLOSING
        while asked and (left := until - time.monotonic()) > 0:
            for worker, event in self.events(left):
                match event:
                    case Closing():
                        asked.discard(worker)
                        yield event
                    case WorkerLost(reason) if worker in asked:
                        asked.discard(worker)
                        log.warning("%s: what its work took is not known", reason)

    def _log_once(self, line: LogLine) -> None:
        if line.text not in self._logged:  # however many workers say it
            log.log(line.level, "%s", line.text)
        self._logged.add(line.text)

    def _check_weights(self, ready: WorkerReady) -> None:
        network = self._job.split
        if ready.weight_hash != network.weight_hash:
            raise CamsbenchError(
                f"{network.name} has other weights at {ready.where} ({ready.weight_hash}, and {network.weight_hash} "
                "here): give all machines the same file"
            )

    def _refuse_given_up(self) -> None:
        if given_up := self._schedule.given_up:
            images = sum(len(block.tasks) for block in given_up)
            numbers = ", ".join(str(block.number) for block in given_up)
            raise CamsbenchError(
                f"{images} images were not done, {self._job.runtime.executor.retries + 1} workers were lost over them "
                f"(blocks {numbers}; the last: {self._last_loss}): the others are kept, and the same command tries "
                "these again"
            )
