"""Actors of a Ray cluster: an existing one, or one that is started on this machine for the run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from itertools import count
from socket import create_connection, gethostname
from typing import Any

from camsbench.config.job import Job
from camsbench.config.trust import VARIABLE
from camsbench.errors import CamsbenchError
from camsbench.run.account import Closing
from camsbench.run.executors.pool import Event, Lost, Ready, Refused, Said
from camsbench.run.executors.remote import Errand, Forwarding
from camsbench.run.work import Block
from camsbench.run.worker import Done, Worker
from camsbench.store.maps import MapFolder

log = logging.getLogger(__name__)

CLOSING = 300.0  # seconds that the last measurements may take


class Actor:
    """A worker in a Ray actor. It holds the network from its first block to its last."""

    def __init__(self, errand: Errand, device: str) -> None:
        self._errand = errand
        self._device = device
        self._said: list[Said] = []
        self._worker: Worker | None = None

    def ready(self) -> Ready:
        """Build the run."""
        logging.basicConfig(handlers=[Forwarding(self._said.append)], force=True)
        self._worker = self._errand.worker(self._device)
        return Ready(f"{gethostname()}:{os.getpid()}", self._worker.job.split.weight_hash)

    def work(self, block: Block, ahead: Sequence[Block]) -> tuple[list[Said], Done]:
        """Do a block; with what was logged meanwhile."""
        assert self._worker is not None
        done = self._worker.work(block, ahead, lambda rows: None)
        said, self._said[:] = list(self._said), []
        return said, done

    def close(self) -> Closing:
        """What the work took."""
        assert self._worker is not None
        return self._worker.close()


class RayCrew:
    """As ``camsbench.run.executors.pool.Crew``. An actor takes ``threads`` CPUs and, with CUDA, a GPU.

    Raises:
        CamsbenchError: Ray is not installed, there is no cluster at the address, or it has no room for one actor.
    """

    def __init__(self, job: Job, maps: MapFolder) -> None:
        self._ray = _ray()
        options = job.runtime.executor
        self._cuda = job.runtime.device.type == "cuda"
        self._threads = options.threads or 1
        self._own = not self._ray.is_initialized()
        if self._own:
            self._connect(options.address, (options.processes or 1) * self._threads if options.processes else None)
        room = self._room()
        if room < 1:
            self.stop()
            raise CamsbenchError(
                f"runtime/executor=ray: the cluster has no {'GPU' if self._cuda else f'{self._threads} CPUs'} for an "
                "actor: give runtime.executor.threads fewer, or runtime.executor.address=ADDRESS of another cluster"
            )
        self.size = options.processes or room
        if self.size > room:
            log.warning("Ray has room for %d of %d actors now; the others wait", room, self.size)
        errand = Errand.of(job)
        self._environment = errand.environment
        self._errand = self._ray.put(errand)
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, int] = {}
        self._numbers = count()

    def hire(self) -> None:
        """Start an actor, when the cluster has room for it."""
        worker = next(self._numbers)
        environment = self._environment | {
            "OMP_NUM_THREADS": str(self._threads),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            VARIABLE: os.environ.get(VARIABLE, ""),
        }
        actor = self._ray.remote(Actor).options(
            num_cpus=self._threads,
            num_gpus=1 if self._cuda else 0,
            max_restarts=0,
            scheduling_strategy="SPREAD",
            runtime_env={"env_vars": environment},
        )
        self._actors[worker] = actor.remote(self._errand, "cuda" if self._cuda else "cpu")
        self._waiting[self._actors[worker].ready.remote()] = worker

    def give(self, worker: int, block: Block, ahead: Sequence[Block]) -> None:
        """Let an actor do a block."""
        self._waiting[self._actors[worker].work.remote(block, ahead)] = worker

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """What actors say."""
        if not self._waiting:
            return []
        done, _ = self._ray.wait(list(self._waiting), timeout=seconds)
        return [(worker, event) for ref in done for worker, event in self._events(ref)]

    def close(self) -> list[Closing]:
        """Ask all that are there for their account."""
        building = set(self._waiting.values())
        asked = [actor.close.remote() for worker, actor in self._actors.items() if worker not in building]
        done, _ = self._ray.wait(asked, num_returns=len(asked), timeout=CLOSING) if asked else ([], [])
        closings = []
        for ref in done:
            try:
                closings.append(self._ray.get(ref))
            except self._ray.exceptions.RayError as error:
                log.warning("an actor gave no account: %s", _first_line(error))
        return closings

    def stop(self) -> None:
        """Kill all actors, and Ray where it was started for them."""
        for actor in getattr(self, "_actors", {}).values():
            self._ray.kill(actor)
        if self._own:
            self._ray.shutdown()

    def _events(self, ref: Any) -> list[tuple[int, Event]]:
        worker = self._waiting.pop(ref)
        try:
            found = self._ray.get(ref)
        except CamsbenchError as error:  # Ray gives what an actor raised as both its own and the actor's exception
            cause = getattr(error, "cause", error)
            return [(worker, Refused(str(cause)))]
        except self._ray.exceptions.RayError as error:
            self._ray.kill(self._actors.pop(worker))
            return [(worker, Lost(f"worker {worker} was lost ({_first_line(error)})"))]
        if isinstance(found, Ready):
            return [(worker, found)]
        said, done = found
        return [*((worker, each) for each in said), (worker, done)]

    def _connect(self, address: str | None, cpus: int | None) -> None:
        local: dict[str, Any] = {} if address else {"num_cpus": cpus, "include_dashboard": False}
        try:
            _knock(address)
            self._ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
        except (OSError, ValueError, RuntimeError) as error:
            raise CamsbenchError(
                f"runtime.executor.address={address}: no Ray cluster answers there ({_first_line(error)}); start one "
                "with ray start --head, or leave the address out"
            ) from error

    def _room(self) -> int:
        has = self._ray.cluster_resources()
        return int(has.get("GPU", 0)) if self._cuda else int(has.get("CPU", 0)) // self._threads


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise CamsbenchError(
            "runtime/executor=ray: the Python package ray is not installed; pip install 'camsbench[ray]'"
        ) from error
    return ray


def _knock(address: str | None) -> None:
    """Whether anybody listens there: Ray itself would ask for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon:
        create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
