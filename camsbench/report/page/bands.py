"""Curves of a run (insertion, deletion, ...): their mean and quartiles over images, and those of single images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from camsbench.report.page.lines import ReportLine
from camsbench.report.saved_run import SavedRun

POINTS = 57  # of a curve, at most: a pixel or two apart in a page

Key = tuple[str, str, str, str, str]  # model, protocol, layer, method, curve


@dataclass
class LineCurves:
    """The curves of one line and name: image ids, and values [n,P] at P evenly spaced steps."""

    line: int
    name: str
    ids: list[str] = field(default_factory=list)
    parts: list[np.ndarray] = field(default_factory=list)

    @property
    def values(self) -> np.ndarray:
        return np.concatenate(self.parts)

    def band(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean, first and third quartile [P] over the images."""
        values = self.values
        low, high = np.nanquantile(values, [0.25, 0.75], axis=0)
        return np.nanmean(values, 0), low, high


def curves(runs: Sequence[SavedRun], lines: Sequence[ReportLine]) -> list[LineCurves]:
    """All curves, thinned to ``POINTS`` steps as they are read; curves of unequal length (of layers) are left out."""
    made: dict[tuple[int, Key], LineCurves] = {}
    for place, run in enumerate(runs):
        own = {(e.model, e.protocol, e.layer, e.method): i for i, e in enumerate(lines) if e.run == place}
        for table in run.folder.curve_parts():
            for key, ids, values in _read(table):
                if key[:4] in own:
                    curve = made.setdefault((place, key), LineCurves(own[key[:4]], key[4].removesuffix("_curve")))
                    curve.ids += ids
                    curve.parts.append(values)
    return [curve for curve in made.values() if len({part.shape[1] for part in curve.parts}) == 1]


def _read(table: pa.Table) -> Iterator[tuple[Key, list[str], np.ndarray]]:
    """A part's curves by line and name, each [n,P]; the values are never made Python's."""
    y = table["y"].combine_chunks()
    lengths, starts = y.value_lengths().to_numpy(), y.offsets.to_numpy()[:-1]
    flat = y.values.to_numpy(zero_copy_only=False)
    names = ["model", "protocol", "layer", "method", "curve"]
    heads = list(zip(*(table[name].to_pylist() for name in names), strict=True))
    ids = table["image_id"].to_pylist()
    groups: dict[tuple[Key, int], list[int]] = {}
    for i, head in enumerate(heads):
        groups.setdefault((head, int(lengths[i])), []).append(i)
    for (key, length), chosen in groups.items():
        if length < 2:
            continue
        steps = np.unique(np.linspace(0, length - 1, min(length, POINTS)).round().astype(int))
        values = flat[starts[chosen][:, None] + steps].astype(np.float32)
        yield key, [ids[i] for i in chosen], values
