"""What a run's process and its workers tell each other: the run, at first; then what happens."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Any

import torch
from omegaconf import OmegaConf

from camsbench.config.build import build
from camsbench.config.job import Job
from camsbench.config.trust import VARIABLE
from camsbench.core.process import allow_pauses, process_environment
from camsbench.data.record import Record
from camsbench.run.account import Closing
from camsbench.run.worker import BlockResult, Worker
from camsbench.store.maps import MapFolder


@dataclass(frozen=True)
class RunDescription:
    """A run as it is sent to another process: its configuration, and its images' places."""

    config: dict[str, Any]
    records: list[Record]
    folder: str  # where relative paths begin
    threads: int | None
    tune_process: bool

    @classmethod
    def of(cls, job: Job) -> RunDescription:
        """The description of a run."""
        config = OmegaConf.to_container(job.config, resolve=True)
        assert isinstance(config, dict)
        named: dict[str, Any] = {str(key): value for key, value in config.items()}
        runtime = job.runtime
        return cls(named, job.records, str(Path.cwd()), runtime.executor.threads, runtime.tune_process)

    def build_worker(self, device: str) -> Worker:
        """Build the run here.

        Raises:
            CamsbenchError: a file or the network is not to be had here.
        """
        if Path(self.folder).is_dir():
            os.chdir(self.folder)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        allow_pauses(self.tune_process)
        config = OmegaConf.create(self.config)
        config.runtime.device = device
        job = build(config, self.records)
        return Worker(job, MapFolder(Path(), job.maps_kept))

    @property
    def environment(self) -> dict[str, str]:
        """What this process gives a worker's: it must be set before Python begins, libraries read it once."""
        here = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), VARIABLE: os.environ.get(VARIABLE, "")}
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return here | threads | process_environment(self.tune_process)


@dataclass(frozen=True)
class WorkerReady:
    """A worker has built the run."""

    where: str  # such as host:pid
    weight_hash: str  # of its network

    @classmethod
    def here(cls, worker: Worker) -> WorkerReady:
        """Of a worker in this process."""
        return cls(f"{gethostname()}:{os.getpid()}", worker.job.split.weight_hash)


@dataclass(frozen=True)
class RowsDone:
    """A worker has some more rows of its block."""

    count: int


@dataclass(frozen=True)
class LogLine:
    """What a worker logged."""

    level: int
    text: str


@dataclass(frozen=True)
class RunRefused:
    """A worker met what the user can mend."""

    sentence: str


@dataclass(frozen=True)
class WorkerLost:
    """A worker is no more."""

    reason: str


Event = WorkerReady | RowsDone | LogLine | RunRefused | WorkerLost | BlockResult | Closing


class _LogForwarder(logging.Handler):
    def __init__(self, send: Callable[[LogLine], object]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(LogLine(record.levelno, record.getMessage()))


def forward_logs(send: Callable[[LogLine], object]) -> None:
    """Send what is logged here to the run's process, from now on."""
    logging.basicConfig(handlers=[_LogForwarder(send)], force=True)
