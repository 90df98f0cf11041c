"""Which worker does which block next; what a worker that is lost leaves undone is done by another."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from camsbench.run.work import Block


class Schedule:
    """Blocks go to whoever is free. Each worker also has one assigned whose images it may read ahead.

    Args:
        blocks: what is to be done.
        retries: how often a block is tried again when its worker is lost.
    """

    def __init__(self, blocks: Sequence[Block], retries: int) -> None:
        self.given_up: list[Block] = []
        self._free = deque(blocks)
        self._assigned: dict[int, list[Block]] = {}  # the block that a worker does, and the one that it reads ahead
        self._losses: Counter[int] = Counter()
        self._retries = retries

    @property
    def unfinished(self) -> bool:
        """Whether a block is still to be done."""
        return bool(self._free or any(self._assigned.values()))

    @property
    def waiting(self) -> int:
        """How many blocks nobody works on."""
        return len(self._free) + sum(len(blocks[1:]) for blocks in self._assigned.values())

    def assign(self, worker: int) -> tuple[Block, list[Block]] | None:
        """A block for a worker that is free, and what it may read ahead; None when there is none for it."""
        own = self._assigned.setdefault(worker, [])
        if not own and not self._free:  # the end is near: what another would begin later
            own += next(([blocks.pop()] for blocks in self._assigned.values() if len(blocks) > 1), [])
        while self._free and len(own) < 2:
            own.append(self._free.popleft())
        return (own[0], own[1:]) if own else None

    def finish(self, worker: int) -> None:
        """The worker did its block."""
        del self._assigned[worker][0]

    def lose(self, worker: int) -> Block | None:
        """The worker is no more; returns what it worked on, which is now for others, or given up."""
        blocks = self._assigned.pop(worker, [])
        if not blocks:
            return None
        block, *ahead = blocks
        self._free.extendleft(ahead)
        self._losses[block.number] += 1
        if self._losses[block.number] > self._retries:
            self.given_up.append(block)
        else:
            self._free.appendleft(block)
        return block
