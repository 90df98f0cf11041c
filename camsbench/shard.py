"""A share of a run: what one of several sessions does, on one machine or many."""

from __future__ import annotations

import re
from dataclasses import dataclass

from camsbench.errors import CamsbenchError


@dataclass(frozen=True)
class Shard:
    """Share ``number`` of ``of`` equal shares: every ``of``-th block, so that each has its part of what takes long."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """From ``runtime.shard``: such as ``3/8``, or None for the whole run."""
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d+)/(\d+)", str(text))
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise CamsbenchError(f"runtime.shard={text}: give NUMBER/OF, such as 3/8 for the third of eight shares")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, block: int) -> bool:
        """Whether the block of this number is of this share."""
        return block % self.of == self.number - 1
