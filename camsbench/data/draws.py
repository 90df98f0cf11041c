"""Frozen draws of ILSVRC2012 validation images: the subsets that papers' tables stand on, repeated to see their spread.

A draw is a seeded list of 5500 of the 50,000 images, without replacement; its first 300, 500, 1000 or 5000 are the
smaller subsets. Which images the papers took is not known.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from camsbench.data.classes import validation_id
from camsbench.errors import CamsbenchError

VALIDATION = 50_000  # images of ILSVRC2012's validation set, numbered from 1
SIZE = 5500
COUNT = 10


def sample(draw: int) -> list[int]:
    """Draw the ``SIZE`` image numbers of a draw anew (what ``scripts/draws.py`` froze).

    The order is by keys of ``random()``, the one stream that Python promises to keep from version to version.
    """
    stream = random.Random(draw)
    keys = {number: stream.random() for number in range(1, VALIDATION + 1)}
    return sorted(keys, key=keys.__getitem__)[:SIZE]


@cache
def read_draw(draw: int) -> tuple[str, ...]:
    """The ids of a draw, 0 to 9, as they are frozen in the package.

    ``union`` checks that there is such a draw.
    """
    text = (files("camsbench.data") / "assets" / "draws" / f"draw{draw}.txt").read_text()
    return tuple(validation_id(int(line)) for line in text.splitlines() if not line.startswith("#"))


def union(draw: int | Sequence[int], limit: int | None = None) -> list[str]:
    """The ids of one draw or of several, each image once: the first ``limit`` of each draw.

    Raises:
        CamsbenchError: there is no such draw, or the limit is above its size.
    """
    draws = list(draw) if isinstance(draw, list | tuple) else [draw]
    if not draws or not all(type(one) is int and 0 <= one < COUNT for one in draws):
        raise CamsbenchError(f"data.draw={draw}: give a number from 0 to {COUNT - 1}, or a list of such numbers")
    if limit is not None and limit > SIZE:
        raise CamsbenchError(f"data.limit={limit}: a draw has {SIZE} images; take fewer, or data.draw=null for all")
    return list(dict.fromkeys(name for one in draws for name in read_draw(one)[:limit]))
