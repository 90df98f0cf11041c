"""Workers side by side: they are given blocks, and when one is lost another takes its place."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from camsbench.errors import CamsbenchError
from camsbench.run.account import Closing
from camsbench.run.executors.schedule import Schedule
from camsbench.run.progress import Progress
from camsbench.run.work import Block
from camsbench.run.worker import Done

log = logging.getLogger(__name__)

PATIENCE = 1.0  # seconds between two looks at what is not an event


@dataclass(frozen=True)
class Ready:
    """A worker has built the run."""

    where: str  # such as host:pid
    weights: str  # the hash of its network's


@dataclass(frozen=True)
class Ticked:
    """A worker has some more rows of its block."""

    rows: int


@dataclass(frozen=True)
class Said:
    """A worker's log line."""

    level: int
    text: str


@dataclass(frozen=True)
class Refused:
    """A worker met what the user can mend."""

    sentence: str


@dataclass(frozen=True)
class Lost:
    """A worker is no more."""

    why: str


Event = Ready | Ticked | Said | Refused | Lost | Done


class Crew(Protocol):
    """Workers in other processes, by number."""

    size: int

    def hire(self) -> None:
        """Start a worker; it says ``Ready``, ``Refused`` or ``Lost``."""
        ...

    def give(self, worker: int, block: Block, ahead: Sequence[Block]) -> None:
        """Let a worker do a block."""
        ...

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        """What workers say, waiting for at most so long."""
        ...

    def close(self) -> list[Closing]:
        """What the workers that are there say at the end."""
        ...

    def stop(self) -> None:
        """End all workers at once."""
        ...


class Weighed(Protocol):
    """A network and its weights' hash."""

    @property
    def name(self) -> str: ...
    @property
    def weight_hash(self) -> str: ...


def conduct(crew: Crew, blocks: Sequence[Block], retries: int, network: Weighed, progress: Progress) -> Iterator[Done]:
    """Each block when it is done, by whomever.

    Raises:
        CamsbenchError: a worker refuses the run or has another network, none can be started, or a block took
            ``retries`` more workers than one with it.
    """
    schedule, weights = Schedule(blocks, retries), network.weight_hash
    said: set[str] = set()
    alive = min(crew.size, len(blocks))
    idle: list[int] = []
    stillborn, why = 0, ""
    for _ in range(alive):
        crew.hire()
    while schedule.open:
        for worker, event in crew.events(PATIENCE):
            match event:
                case Ready(where, found):
                    if found != weights:
                        raise CamsbenchError(
                            f"{network.name} has other weights at {where} ({found}, and {weights} here): give all "
                            "machines the same file"
                        )
                    progress.begin()
                    progress.hired(worker, where)
                    idle.append(worker)
                    stillborn = 0
                case Ticked(rows):
                    progress.tick(worker, rows)
                case Said(level, text):
                    if text not in said:  # once, however many workers say it
                        log.log(level, "%s", text)
                    said.add(text)
                case Refused(sentence):
                    raise CamsbenchError(sentence)
                case Done():
                    schedule.finished(worker)
                    idle.append(worker)
                    _give(crew, schedule, idle, progress)  # before its rows are written
                    yield event
                    progress.finished(worker, event)
                case Lost(why):
                    block = schedule.lost(worker)
                    progress.lost(worker)
                    idle = [each for each in idle if each != worker]
                    alive, stillborn = alive - 1, stillborn + (block is None)
                    log.warning("%s: %s", why, _going_on(block, schedule))
                    if schedule.waiting > len(idle) and stillborn <= retries:
                        crew.hire()
                        alive += 1
        _give(crew, schedule, idle, progress)
        if not alive and schedule.open:
            raise CamsbenchError(f"no worker could be started: {why}")
    if schedule.given_up:
        numbers = ", ".join(str(block.number) for block in schedule.given_up)
        raise CamsbenchError(
            f"{_images(schedule.given_up)} images were not done, {retries + 1} workers were lost over them (blocks "
            f"{numbers}; the last: {why}): the others are kept, and the same command tries these again"
        )


def _give(crew: Crew, schedule: Schedule, idle: list[int], progress: Progress) -> None:
    while idle and (given := schedule.next(idle[0])) is not None:
        worker = idle.pop(0)
        progress.given(worker, given[0])
        crew.give(worker, *given)


def _going_on(block: Block | None, schedule: Schedule) -> str:
    if block is None:
        return "another takes its place" if schedule.open else "its work was done"
    if block in schedule.given_up:
        return f"block {block.number} is given up"
    return f"block {block.number} is done again by another"


def _images(blocks: Sequence[Block]) -> int:
    return sum(len(block.tasks) for block in blocks)
