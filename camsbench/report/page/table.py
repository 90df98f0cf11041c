"""The images of a report against its lines, column by column, and how far the methods part on an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from camsbench.core.columns import Column
from camsbench.report.page.lines import ReportLine
from camsbench.tables.columns import SECONDS

ROW, DEGENERATE, ERROR = 1, 2, 4  # bits of a flag


@dataclass(frozen=True)
class ImageTable:
    """Every image that some line has a row of, in the order of the runs, and the cells of all lines on them."""

    ids: list[str]
    labels: np.ndarray  # [n], -1 where no row says it
    lines: Sequence[ReportLine]

    @classmethod
    def of(cls, lines: Sequence[ReportLine]) -> ImageTable:
        rows = pd.concat([line.rows[["image_id", "label"]] for line in lines])
        labels = rows.drop_duplicates("image_id").set_index("image_id")["label"]
        return cls(list(labels.index), labels.fillna(-1).to_numpy(np.int64), lines)

    @cached_property
    def _places(self) -> list[np.ndarray]:
        """For each line the places of its rows."""
        index = pd.Index(self.ids)
        return [index.get_indexer(pd.Index(line.rows["image_id"])) for line in self.lines]

    def values(self, line: int, column: Column) -> np.ndarray:
        """A column [n] of a line, NaN where it has none."""
        return self._spread(line, column.name, np.nan)

    def targets(self, line: int) -> np.ndarray:
        """The class [n] that a line explains, -1 where it has no row."""
        return self._spread(line, "target", -1).astype(np.int64)

    def flags(self, line: int) -> np.ndarray:
        """What happened [n]: ROW, DEGENERATE, ERROR."""
        rows = self.lines[line].rows
        made = np.zeros(len(self.ids), np.uint8)
        degenerate, error = rows["degenerate"].eq(True).to_numpy(bool), rows["error"].notna().to_numpy(bool)
        made[self._places[line]] = ROW + DEGENERATE * degenerate + ERROR * error
        return made

    def errors(self) -> dict[int, str]:
        """The sentences of the images that failed, by their place."""
        found: dict[int, list[str]] = {}
        for line, places in zip(self.lines, self._places, strict=True):
            error = line.rows["error"].to_numpy(object)
            for i in np.flatnonzero(line.rows["error"].notna().to_numpy(bool)):
                said = found.setdefault(int(places[i]), [])
                if error[i] not in said:
                    said.append(str(error[i]))
        return {place: "; ".join(said) for place, said in found.items()}

    def disagreement(self, columns: Sequence[Column]) -> np.ndarray:
        """How far the lines part on each image [n]; NaN where fewer than two have a value.

        Of each metric the range over the lines, in units of the metric's 5 to 95 % range over all images and lines;
        the mean over the metrics.
        """
        ranges = []
        for column in columns:
            if not column.better or column == SECONDS or len(self.lines) < 2:
                continue
            values = np.stack([self.values(i, column) for i in range(len(self.lines))], 1)
            if not np.isfinite(values).any():
                continue
            low, high = np.nanquantile(values, [0.05, 0.95])
            enough = np.isfinite(values).sum(1) >= 2
            span = np.where(np.isfinite(values), values, -np.inf).max(1) - np.where(
                np.isfinite(values), values, np.inf
            ).min(1)
            if high > low:
                ranges.append(np.where(enough, span / (high - low), np.nan))
        if not ranges:
            return np.full(len(self.ids), np.nan)
        together = np.stack(ranges)
        known = np.isfinite(together)
        total = np.where(known, together, 0).sum(0)
        return np.divide(total, known.sum(0), out=np.full(len(self.ids), np.nan), where=known.any(0))

    def _spread(self, line: int, name: str, missing: float) -> np.ndarray:
        made = np.full(len(self.ids), missing, float)
        rows = self.lines[line].rows
        if name in rows:
            made[self._places[line]] = rows[name].fillna(missing).to_numpy(float)
        return made
