"""Actors of a Ray cluster: an existing one, or one that is started on this machine for the run."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import count
from socket import create_connection
from typing import Any

from camsbench.config.job import Job
from camsbench.errors import CamsbenchError
from camsbench.run.account import Closing
from camsbench.run.executors.messages import Event, RunDescription, RunRefused, WorkerLost, WorkerReady, forward_logs
from camsbench.run.executors.pool import WorkerPool
from camsbench.run.work import Block
from camsbench.run.worker import Worker

log = logging.getLogger(__name__)


class Actor:
    """A worker in a Ray actor. It holds the network from its first block to its last."""

    def __init__(self, run: RunDescription, device: str) -> None:
        self._run = run
        self._device = device
        self._logged: list[Event] = []
        self._worker: Worker | None = None

    def build(self) -> WorkerReady:
        """Build the run; not in ``__init__``, whose exceptions Ray would not give as they are."""
        forward_logs(self._logged.append)
        self._worker = self._run.build_worker(self._device)
        return WorkerReady.here(self._worker)

    def do_block(self, block: Block, ahead: Sequence[Block]) -> list[Event]:
        """Do a block; its result, after what was logged meanwhile."""
        assert self._worker is not None
        result = self._worker.do_block(block, ahead, lambda rows: None)
        logged, self._logged[:] = list(self._logged), []
        return [*logged, result]

    def close(self) -> Closing:
        """What the work took."""
        assert self._worker is not None
        return self._worker.close()


class RayPool(WorkerPool):
    """An actor takes ``threads`` CPUs and, with CUDA, a GPU."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._ray: Any = None
        self._own = False  # whether Ray is started here
        self._cuda = job.runtime.device.type == "cuda"
        self._threads = job.runtime.executor.threads or 1
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, int] = {}
        self._numbers = count()

    def open(self) -> int:
        """Connect to the cluster.

        Raises:
            CamsbenchError: Ray is not installed, there is no cluster at the address, or it has no room for one actor.
        """
        options = self._job.runtime.executor
        self._ray = _import_ray()
        self._own = not self._ray.is_initialized()
        if self._own:
            self._connect(options.address, options.processes * self._threads if options.processes else None)
        room = self._room()
        if room < 1:
            raise CamsbenchError(
                f"runtime/executor=ray: the cluster has no {'GPU' if self._cuda else f'{self._threads} CPUs'} for an "
                "actor: give runtime.executor.threads fewer, or runtime.executor.address=ADDRESS of another cluster"
            )
        size = options.processes or room
        if size > room:
            log.warning("Ray has room for %d of %d actors now; the others wait", room, size)
        run = RunDescription.of(self._job)
        self._environment = run.environment | {"OMP_NUM_THREADS": str(self._threads)}
        self._run = self._ray.put(run)
        return size

    def start_worker(self) -> None:
        """Start an actor, when the cluster has room for it."""
        worker = next(self._numbers)
        actor = self._ray.remote(Actor).options(
            num_cpus=self._threads,
            num_gpus=1 if self._cuda else 0,
            max_restarts=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": self._environment},
        )
        self._actors[worker] = actor.remote(self._run, "cuda" if self._cuda else "cpu")
        self._waiting[self._actors[worker].build.remote()] = worker

    def send_block(self, worker: int, block: Block, ahead: Sequence[Block]) -> None:
        self._waiting[self._actors[worker].do_block.remote(block, ahead)] = worker

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        if not self._waiting:
            return []
        done, _ = self._ray.wait(list(self._waiting), timeout=seconds)
        return [(worker, event) for ref in done for worker, event in self._events_of(ref)]

    def ask_closings(self) -> set[int]:
        ready = set(self._actors) - set(self._waiting.values())
        self._waiting |= {self._actors[worker].close.remote(): worker for worker in ready}
        return ready

    def kill_workers(self) -> None:
        """Kill all actors, and Ray where it was started for them."""
        for actor in self._actors.values():
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()

    def _events_of(self, ref: Any) -> list[tuple[int, Event]]:
        worker = self._waiting.pop(ref)
        try:
            answer = self._ray.get(ref)
        except CamsbenchError as error:  # Ray gives what an actor raised as both its own and the actor's exception
            cause = getattr(error, "cause", error)
            return [(worker, RunRefused(str(cause)))]
        except self._ray.exceptions.RayError as error:
            self._ray.kill(self._actors.pop(worker))
            return [(worker, WorkerLost(f"worker {worker} was lost ({_first_line(error)})"))]
        events = answer if isinstance(answer, list) else [answer]
        return [(worker, event) for event in events]

    def _connect(self, address: str | None, cpus: int | None) -> None:
        local: dict[str, Any] = {} if address else {"num_cpus": cpus, "include_dashboard": False}
        try:
            _check_address(address)
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
        except (OSError, ValueError, RuntimeError) as error:
            raise CamsbenchError(
                f"runtime.executor.address={address}: no Ray cluster answers there ({_first_line(error)}); start one "
                "with ray start --head, or leave the address out"
            ) from error

    def _room(self) -> int:
        has = self._ray.cluster_resources()
        return int(has.get("GPU", 0)) if self._cuda else int(has.get("CPU", 0)) // self._threads


def _import_ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise CamsbenchError(
            "runtime/executor=ray: the Python package ray is not installed; pip install 'camsbench[ray]'"
        ) from error
    return ray


def _check_address(address: str | None) -> None:
    """Raise an error where nobody listens: Ray itself would ask for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon:
        create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
