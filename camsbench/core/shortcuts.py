"""Whether exact short cuts may be taken: arithmetic in place of passes whose scores it gives as well."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PLAIN = ContextVar("plain", default=False)


@contextmanager
def plain() -> Iterator[None]:
    """Exact short cuts are off inside the block: every copy is passed, those too whose score is known without.

    The maps stay the same, up to the rounding of micro-batches of other sizes: what a short cut saves is all that
    changes.
    """
    before = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(before)


def short_cuts() -> bool:
    """Whether a method may replace passes by arithmetic that gives the same scores: not inside ``plain``."""
    return not _PLAIN.get()
