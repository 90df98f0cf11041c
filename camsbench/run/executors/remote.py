"""A run as it is sent to another process: its configuration, and its images' places."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from camsbench.config.build import build
from camsbench.config.job import Job
from camsbench.core.process import allow_pauses, process_environment
from camsbench.data.record import Record
from camsbench.run.executors.pool import Said
from camsbench.run.worker import Worker
from camsbench.store.maps import MapFolder


@dataclass(frozen=True)
class Errand:
    """What a process needs to become a worker of a run."""

    config: dict[str, Any]
    records: list[Record]
    folder: str  # where relative paths begin
    threads: int | None
    tune_process: bool

    @classmethod
    def of(cls, job: Job) -> Errand:
        """The errand of a run."""
        config = OmegaConf.to_container(job.config, resolve=True)
        assert isinstance(config, dict)
        named: dict[str, Any] = {str(key): value for key, value in config.items()}
        runtime = job.runtime
        return cls(named, job.records, str(Path.cwd()), runtime.executor.threads, runtime.tune_process)

    def worker(self, device: str | None) -> Worker:
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
        if device is not None:
            config.runtime.device = device
        job = build(config, self.records)
        return Worker(job, MapFolder(Path(), job.maps_kept))

    @property
    def environment(self) -> dict[str, str]:
        """What must be set before Python begins: libraries read it once."""
        threads = {} if self.threads is None else {"OMP_NUM_THREADS": str(self.threads)}
        return threads | process_environment(self.tune_process)


class Forwarding(logging.Handler):
    """Sends what is logged here to who waits for it."""

    def __init__(self, send: Callable[[Said], object]) -> None:
        super().__init__(logging.WARNING)
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Said(record.levelno, record.getMessage()))
