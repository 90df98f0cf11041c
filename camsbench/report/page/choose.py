"""Which images of a report show their maps: ``report.maps``, N, ``all`` or ``worst``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from camsbench.config.job import check_count, first_images
from camsbench.core.columns import Column
from camsbench.report.page.table import ImageTable
from camsbench.tables.columns import SECONDS

WORST = 24  # images: half by score, half by disagreement


def choose_images(table: ImageTable, columns: Sequence[Column], maps: int | str) -> list[int]:
    """The places of the images that show their maps, in the order of the run.

    ``worst``: a dozen images where the methods do worst (mean rank over metrics and methods), and the dozen where they
    part most (``ImageTable.disagreement``).

    Raises:
        CamsbenchError: more than a page can hold.
    """
    if maps != "worst":
        count = first_images(maps, len(table.ids))
        check_count(count, maps)
        return list(range(count))
    scores = _mean_rank(table, columns)
    apart = table.disagreement(columns)
    first = _lowest(scores, WORST // 2, set())
    return sorted({*first, *_lowest(-apart, WORST - len(first), set(first))})


def _lowest(scores: np.ndarray, count: int, taken: set[int]) -> list[int]:
    order = [int(i) for i in np.argsort(scores, kind="stable") if np.isfinite(scores[i]) and int(i) not in taken]
    return order[:count]


def _mean_rank(table: ImageTable, columns: Sequence[Column]) -> np.ndarray:
    """For each image [n] its place among the others, 0 the worst and 1 the best, averaged over metrics and lines."""
    total, known = np.zeros(len(table.ids)), np.zeros(len(table.ids))
    for column in columns:
        if column.better and column != SECONDS:
            for line in range(len(table.lines)):
                values = table.values(line, column) * (1 if column.better == "higher" else -1)
                finite = np.flatnonzero(np.isfinite(values))
                if len(finite) > 1:
                    ordered = np.sort(values[finite])
                    below = np.searchsorted(ordered, values[finite], "left")
                    upto = np.searchsorted(ordered, values[finite], "right")
                    total[finite] += (below + upto - 1) / 2 / (len(finite) - 1)
                    known[finite] += 1
    return np.divide(total, known, out=np.full(len(table.ids), np.nan), where=known > 0)
