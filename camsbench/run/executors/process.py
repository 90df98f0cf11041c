"""A worker's process, ``python -m camsbench.run.executors.process SOCKET``: ``run.executors.local`` starts it."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from multiprocessing.connection import Connection
from queue import SimpleQueue
from socket import gethostname
from threading import Lock, Thread
from typing import Any

from camsbench.errors import CamsbenchError
from camsbench.run.executors.pool import Ready, Refused, Said, Ticked
from camsbench.run.executors.remote import Errand, Forwarding


class Line:
    """The way to the process that started this one; when that ends, so does this, in the middle of whatever it does."""

    def __init__(self, connection: Connection) -> None:
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self._connection = connection
        self._one = Lock()  # threads log, too
        Thread(target=self._listen, daemon=True).start()

    def send(self, event: object) -> None:
        with self._one:
            self._connection.send(event)

    def _listen(self) -> None:
        while True:
            try:
                self.inbox.put(self._connection.recv())
            except (EOFError, OSError):
                os._exit(1)


def serve(line: Line) -> None:
    """Build the run, do the blocks that come, and at the end say what it took."""
    errand, device = line.inbox.get()
    assert isinstance(errand, Errand)
    worker = errand.worker(device)
    line.send(Ready(f"{gethostname()}:{os.getpid()}", worker.job.split.weight_hash))
    while (given := line.inbox.get()) is not None:
        block, ahead = given
        line.send(worker.work(block, ahead, lambda rows: line.send(Ticked(rows))))
    line.send(worker.close())


def main() -> None:
    """Until there is nothing to do."""
    line = Line(Connection(int(sys.argv[1])))
    logging.basicConfig(handlers=[Forwarding(line.send)], force=True)
    try:
        serve(line)
    except CamsbenchError as error:
        line.send(Refused(str(error)))
    except Exception:
        line.send(Said(logging.ERROR, traceback.format_exc().strip()))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
