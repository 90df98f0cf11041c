"""How far a session is: a bar on a terminal, elsewhere a line now and then, and a file for who looks from outside."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from socket import gethostname
from threading import Event, Lock, Thread
from typing import Any

from tqdm import tqdm

from camsbench.errors import CamsbenchError
from camsbench.files import write_text
from camsbench.run.work import Block
from camsbench.run.worker import BlockResult
from camsbench.store.shares import Shard

log = logging.getLogger(__name__)

FILE_SECONDS = 10.0  # how old the file may be


@dataclass
class WorkerState:
    """A worker, and the block that it does."""

    where: str
    block: int | None = None
    rows: int = 0  # of this block


class Progress:
    """Rows done of a session's share, as its workers say.

    Args:
        folder: of the run; the file is ``progress/NUMBER-of-OF.json`` in it.
        shard: whose progress.
        blocks: what is to be done.
        name: what stands before the bar.
        heartbeat: seconds between two lines where there is no terminal.
    """

    def __init__(self, folder: Path, shard: Shard, blocks: list[Block], name: str, heartbeat: float) -> None:
        self.images = 0
        self.seconds = 0.0
        self._rows = 0
        self._images_total = sum(len(block.tasks) for block in blocks)
        self._rows_total = sum(len(tasks) for block in blocks for tasks in block.tasks.values())
        self._path = folder / "progress" / f"{shard.number}-of-{shard.of}.json"
        self._shard = shard
        self._workers: dict[int, WorkerState] = {}
        self._heartbeat = heartbeat
        self._start: float | None = None
        self._started = _now()
        self._state = "starting"
        self._lock = Lock()
        self._ended = Event()
        self._bar = tqdm(total=self._rows_total, unit="map", disable=None, desc=name)
        self._heart = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Progress:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._write()
        self._heart.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._state = "done" if raised[0] is None else "stopped"
        self._ended.set()
        self._heart.join()
        self._bar.close()
        self._workers.clear()
        try:
            self._write()
        except CamsbenchError as error:  # such as a full disk, which was said already
            log.debug("%s", error)

    def start_clock(self) -> None:
        """The first worker is ready: time counts from here."""
        if self._start is None:
            self._start = time.perf_counter()
            self._state = "running"

    def stop_clock(self) -> None:
        """The last block is done."""
        if self._start is not None:
            self.seconds = time.perf_counter() - self._start

    def add_worker(self, worker: int, where: str) -> None:
        """A worker is there."""
        self._workers[worker] = WorkerState(where)
        self._write()

    def begin_block(self, worker: int, block: Block) -> None:
        """A worker begins a block."""
        state = self._workers.setdefault(worker, WorkerState(f"{gethostname()}:{os.getpid()}"))
        state.block = block.number

    def add_rows(self, worker: int, rows: int) -> None:
        """A worker has some more rows of its block."""
        self._workers[worker].rows += rows
        self._show()

    def finish_block(self, worker: int, result: BlockResult) -> None:
        """A worker's rows are on the disk."""
        with self._lock:
            self._rows += len(result.rows)
            self.images += result.images
            self._workers[worker].rows = 0
        self._show()

    def remove_worker(self, worker: int) -> None:
        """A worker is no more, nor are the rows of its block."""
        self._workers.pop(worker, None)
        self._show()

    def sentence(self) -> str:
        """Such as: 320 of 50,000 images (0.6 %), 1.4 images/s, 9:51:12 left, 2 workers."""
        with self._lock:
            now = self._describe()
        said = f"{now['images_done']:,} of {now['images_total']:,} images"
        said += f" ({100 * now['rows_done'] / max(1, now['rows_total']):.1f} % of the maps)"
        if now["images_per_second"]:
            said += f", {now['images_per_second']:.2f} images/s"
        if now["seconds_left"] is not None:
            said += f", {tqdm.format_interval(now['seconds_left'])} left"
        workers = len(now["workers"])
        return said + f", {workers} worker" + "s" * (workers != 1)

    def _show(self) -> None:
        self._bar.update(self._rows + self._unfinished_rows() - self._bar.n)

    def _unfinished_rows(self) -> int:
        return sum(state.rows for state in list(self._workers.values()))

    def _beat(self) -> None:
        said = time.monotonic()
        quiet = bool(self._bar.disable)
        while not self._ended.wait(min(FILE_SECONDS, self._heartbeat)):
            try:
                self._write()
            except CamsbenchError as error:
                log.debug("%s", error)
            if quiet and time.monotonic() - said >= self._heartbeat:
                said = time.monotonic()
                log.warning("%s", self.sentence())

    def _write(self) -> None:
        with self._lock:
            write_text(self._path, json.dumps(self._describe(), indent=2) + "\n")

    def _describe(self) -> dict[str, Any]:
        rows = self._rows + self._unfinished_rows()
        elapsed = 0.0 if self._start is None else time.perf_counter() - self._start
        left = elapsed / rows * (self._rows_total - rows) if rows else None
        return {
            "shard": str(self._shard),
            "state": self._state,
            "host": gethostname(),
            "pid": os.getpid(),
            "command": sys.argv[1:],
            "started": self._started,
            "updated": _now(),
            "rows_done": rows,
            "rows_total": self._rows_total,
            "images_done": self.images,
            "images_total": self._images_total,
            "images_per_second": self._images_total * rows / self._rows_total / elapsed if elapsed and rows else None,
            "seconds_left": left,
            "workers": [asdict(state) for state in list(self._workers.values())],
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
