"""Which worker does which block next; what a worker that is lost leaves undone is done by another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from camsbench.run.work import Block


class Schedule:
    """Blocks go to whoever is free. Each worker also has one reserved whose images it may read ahead.

    Args:
        blocks: what is to be done.
        retries: how often a block is tried again.
    """

    def __init__(self, blocks: Sequence[Block], retries: int) -> None:
        self.given_up: list[Block] = []
        self._free = deque(blocks)
        self._working: dict[int, Block] = {}
        self._reserved: dict[int, Block] = {}
        self._losses: Counter[int] = Counter()
        self._retries = retries

    @property
    def open(self) -> bool:
        """Whether a block is still to be done."""
        return bool(self._free or self._working or self._reserved)

    @property
    def waiting(self) -> int:
        """How many blocks nobody works on."""
        return len(self._free) + len(self._reserved)

    def next(self, worker: int) -> tuple[Block, list[Block]] | None:
        """A block for a worker that is free, and what it may read ahead; None when there is none for it."""
        block = self._reserved.pop(worker, None)
        if block is None and self._free:
            block = self._free.popleft()
        if block is None and self._reserved:  # the end is near: what another would begin later
            block = self._reserved.pop(next(iter(self._reserved)))
        if block is None:
            return None
        self._working[worker] = block
        if self._free:
            self._reserved[worker] = self._free.popleft()
        ahead = self._reserved.get(worker)
        return block, [] if ahead is None else [ahead]

    def finished(self, worker: int) -> None:
        """The worker did its block."""
        del self._working[worker]

    def lost(self, worker: int) -> Block | None:
        """The worker is no more; returns what it worked on, which is now for others, or given up."""
        if (reserved := self._reserved.pop(worker, None)) is not None:
            self._free.appendleft(reserved)
        block = self._working.pop(worker, None)
        if block is None:
            return None
        self._losses[block.number] += 1
        if self._losses[block.number] > self._retries:
            self.given_up.append(block)
        else:
            self._free.appendleft(block)
        return block
