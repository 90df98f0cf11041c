"""Processes on this machine, one a CUDA device or several that share the processor: both ends of their sockets."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

import torch

from camsbench.config.job import Job
from camsbench.errors import CamsbenchError
from camsbench.run.executors.messages import (
    Event,
    LogLine,
    RowsDone,
    RunDescription,
    RunRefused,
    WorkerLost,
    WorkerReady,
    forward_logs,
)
from camsbench.run.executors.pool import WorkerPool
from camsbench.run.work import Block

SERVE = "from camsbench.run.executors.local import serve; serve()"


class LocalPool(WorkerPool):
    """The workers end when this process does, however it ends."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._run = RunDescription.of(job)
        self._devices = _devices(job.runtime.device, job.runtime.executor.named_device)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._connections: dict[int, Connection] = {}
        self._numbers = count()

    def open(self) -> int:
        return self._job.runtime.executor.processes or 1

    def start_worker(self) -> None:
        worker = next(self._numbers)
        ours, theirs = socket.socketpair()
        with theirs:
            self._processes[worker] = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, **self._run.environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is answered here
            )
        self._connections[worker] = Connection(ours.detach())
        self._send(worker, (self._run, self._devices[worker % len(self._devices)]))

    def send_block(self, worker: int, block: Block, ahead: Sequence[Block]) -> None:
        self._send(worker, (block, ahead))

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        found: list[tuple[int, Event]] = []
        speaking = wait(list(self._connections.values()), seconds)
        for worker, connection in list(self._connections.items()):
            if connection in speaking:
                try:
                    found.append((worker, connection.recv()))
                except (EOFError, OSError):
                    found.append((worker, WorkerLost(self._forget(worker))))
        return found

    def ask_closings(self) -> set[int]:
        for worker in self._connections:
            self._send(worker, None)
        return set(self._connections)

    def kill_workers(self) -> None:
        for worker in list(self._connections):
            self._processes[worker].kill()
            self._forget(worker)

    def _send(self, worker: int, message: object) -> None:
        with suppress(OSError):  # a worker that is gone is found when it is listened to
            self._connections[worker].send(message)

    def _forget(self, worker: int) -> str:
        """Forget a worker that ended; how it did."""
        self._connections.pop(worker).close()
        process = self._processes.pop(worker)
        code = process.wait()
        if code >= 0:
            return f"worker {worker} (process {process.pid}) ended with code {code}"
        name = signal.Signals(-code).name + (", as when memory runs out" if code == -signal.SIGKILL else "")
        return f"worker {worker} (process {process.pid}) was killed ({name})"


class ParentConnection:
    """The worker's end: when the process that started it ends, so does this one, in the middle of whatever it does."""

    def __init__(self, connection: Connection) -> None:
        self.inbox: SimpleQueue[Any] = SimpleQueue()
        self._connection = connection
        self._lock = Lock()  # threads log, too
        Thread(target=self._listen, daemon=True).start()

    def send(self, event: Event) -> None:
        with self._lock:
            self._connection.send(event)

    def _listen(self) -> None:
        while True:
            try:
                self.inbox.put(self._connection.recv())
            except (EOFError, OSError):
                os._exit(1)


def serve() -> None:
    """A worker's life, in a process of its own: build the run, do the blocks that come, say what it took."""
    parent = ParentConnection(Connection(int(sys.argv[1])))
    forward_logs(parent.send)
    try:
        run, device = parent.inbox.get()
        worker = run.build_worker(device)
        parent.send(WorkerReady.here(worker))
        while (message := parent.inbox.get()) is not None:
            parent.send(worker.do_block(*message, lambda rows: parent.send(RowsDone(rows))))
        parent.send(worker.close())
    except CamsbenchError as error:
        parent.send(RunRefused(str(error)))
    except Exception:
        parent.send(LogLine(logging.ERROR, traceback.format_exc().strip()))
        raise SystemExit(1) from None


def _devices(device: torch.device, named: bool) -> list[str]:
    if device.type != "cuda" or named:
        return [str(device)]
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
