"""The pixels inside a polygon, as pycocotools counts them, which COCO's own masks and scores stand on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FINE = 5  # steps a pixel in which the boundary is walked


def fill(polygon: Sequence[float], width: int, height: int) -> np.ndarray:
    """The inside of a polygon, bool [height,width]; a point is in it where the boundary lies around it an odd time.

    The boundary is walked in fifths of a pixel; where it enters another column of pixels, all below turn from outside
    to inside or back.

    Args:
        polygon: x and y, x and y, ..., in pixels.
        width: of the picture.
        height: of the picture.

    Raises:
        ValueError: these are no three points.
    """
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"a polygon has {len(polygon)} numbers: it takes three points or more, of x and y each")
    points = np.trunc(FINE * np.asarray(polygon, dtype=np.float64).reshape(-1, 2) + 0.5).astype(np.int64)
    u, v = np.concatenate([_line(a, b) for a, b in zip(points, np.roll(points, -1, 0), strict=True)]).T
    crossing = np.flatnonzero(np.diff(u))
    x = (np.minimum(u[crossing], u[crossing + 1]) + 0.5) / FINE - 0.5
    y = np.ceil(((np.minimum(v[crossing], v[crossing + 1]) + 0.5) / FINE - 0.5).clip(0, height)).astype(np.int64)
    centre = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    turns = np.zeros(height * width + 1, dtype=np.int64)
    np.add.at(turns, x[centre].astype(np.int64) * height + y[centre], 1)
    inside = np.cumsum(turns)[:-1] % 2 == 1
    return inside.reshape(width, height).T


def _line(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """The whole points from one to another, [N,2], as they are walked; rounding goes up from the lower end."""
    dx, dy = np.abs(stop - start)
    along = 0 if dx >= dy else 1
    low, high = (start, stop) if start[along] <= stop[along] else (stop, start)
    steps = np.arange(max(dx, dy) + 1)
    slope = (high - low)[1 - along] / max(dx, dy, 1)
    line = np.empty((len(steps), 2), dtype=np.int64)
    line[:, along] = low[along] + steps
    line[:, 1 - along] = np.trunc(low[1 - along] + slope * steps + 0.5)
    return line if low is start else line[::-1]
