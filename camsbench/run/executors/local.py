"""Processes on this machine: one a CUDA device, or several that share the processor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection, wait

import torch

from camsbench.config.job import Job
from camsbench.run.account import Closing
from camsbench.run.executors.pool import Event, Lost
from camsbench.run.executors.remote import Errand
from camsbench.run.work import Block
from camsbench.store.maps import MapFolder

CLOSING = 300.0  # seconds that the last measurements may take


class LocalCrew:
    """As ``camsbench.run.executors.pool.Crew``. The workers end when this process does, however it ends."""

    def __init__(self, job: Job, maps: MapFolder) -> None:
        options = job.runtime.executor
        self.size = options.processes or 1
        self._errand = Errand.of(job)
        self._devices = _devices(job.runtime.device, options.named_device)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._connections: dict[int, Connection] = {}
        self._numbers = count()

    def hire(self) -> None:
        """Start a process."""
        worker = next(self._numbers)
        ours, theirs = socket.socketpair()
        device = self._devices[worker % len(self._devices)]
        with theirs:
            self._processes[worker] = subprocess.Popen(
                [sys.executable, "-m", "camsbench.run.executors.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, **self._errand.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is answered here
            )
        self._connections[worker] = Connection(ours.detach())
        with suppress(OSError):  # a worker that is gone is found when it is listened to
            self._connections[worker].send((self._errand, device))

    def give(self, worker: int, block: Block, ahead: Sequence[Block]) -> None:
        """Let a worker do a block."""
        with suppress(OSError):
            self._connections[worker].send((block, ahead))

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """What workers say."""
        found: list[tuple[int, Event]] = []
        for worker, connection in self._saying(seconds):
            try:
                found.append((worker, connection.recv()))
            except (EOFError, OSError):
                found.append((worker, Lost(self._farewell(worker))))
        return found

    def close(self) -> list[Closing]:
        """Ask all that are there for their account."""
        closings = []
        for connection in self._connections.values():
            with suppress(OSError):
                connection.send(None)
        until = time.monotonic() + CLOSING
        while self._connections and time.monotonic() < until:
            for worker, connection in self._saying(until - time.monotonic()):
                try:
                    said = connection.recv()
                except (EOFError, OSError):
                    self._farewell(worker)
                    continue
                if isinstance(said, Closing):
                    closings.append(said)
                    self._farewell(worker)
        return closings

    def stop(self) -> None:
        """Kill all that are left."""
        for worker in list(self._connections):
            self._processes[worker].kill()
            self._farewell(worker)

    def _saying(self, seconds: float) -> Iterator[tuple[int, Connection]]:
        said = wait(list(self._connections.values()), max(0.0, seconds))
        yield from [(worker, each) for worker, each in self._connections.items() if each in said]

    def _farewell(self, worker: int) -> str:
        """Forget a worker that ended; how it did."""
        self._connections.pop(worker).close()
        process = self._processes.pop(worker)
        code = process.wait()
        if code >= 0:
            return f"worker {worker} (process {process.pid}) ended with code {code}"
        reason = signal.Signals(-code).name + (", as when memory runs out" if code == -signal.SIGKILL else "")
        return f"worker {worker} (process {process.pid}) was killed ({reason})"


def _devices(device: torch.device, named: bool) -> list[str]:
    if device.type != "cuda" or named:
        return [str(device)]
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
