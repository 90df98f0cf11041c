"""Rows and curves of explained images: what is measured leaves the device here, in one copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

import torch

from camsbench.config.job import Job
from camsbench.core.explained import Explained, measure
from camsbench.data.record import Record
from camsbench.store.schema import CELL, Task

NOT_FINITE = "a map or a probability holds NaN or infinity"

Row = dict[str, Any]


@dataclass(frozen=True)
class RowsAndCurves:
    """Rows, one an image and method, and the curves that belong to them (see ``camsbench.store``)."""

    rows: list[Row] = field(default_factory=list)
    curves: list[Row] = field(default_factory=list)


def make_error_rows(job: Job, record: Record, tasks: Sequence[Task], error: str) -> list[Row]:
    """The rows of an image that could not be read."""
    return [_identify(job, record, task) | {"label": record.label, "error": error} for task in tasks]


def measure_rows(job: Job, task: Task, explained: Explained, records: Sequence[Record]) -> RowsAndCurves:
    """The rows and curves of a batch under one method; an image whose map is not finite gets an error instead."""
    columns, curves = measure(job.metrics.values(), explained)
    forward = explained.forward
    columns |= {
        "target": forward.target,
        "probability": forward.probability,
        "degenerate": explained.degenerate,
        "finite": explained.finite,
    }
    together = [column[:, None].double() for column in columns.values()] + [c.double() for c in curves.values()]
    host = torch.cat(together, 1).tolist()  # the one host copy
    seconds = explained.seconds / len(records)
    found = RowsAndCurves()
    for record, values in zip(records, host, strict=True):
        cells = dict(zip(columns, values, strict=False))  # the curves' values follow
        finite, target, degenerate = (cells.pop(name) for name in ("finite", "target", "degenerate"))
        key = _identify(job, record, task)
        row = key | {"label": record.label, "target": int(target), "degenerate": bool(degenerate), "seconds": seconds}
        if not finite:
            found.rows.append(row | {"error": NOT_FINITE})
            continue
        found.rows.append(row | cells)
        start = len(columns)
        for name, curve in curves.items():
            y = values[start : start + curve.shape[1]]
            if not all(map(isnan, y)):  # it is not defined for every image
                found.curves.append(key | {"curve": name, "y": y})
            start += curve.shape[1]
    return found


def _identify(job: Job, record: Record, task: Task) -> Row:
    cells = {CELL + name: value for name, value in record.cells.items()}
    return cells | {
        "model": job.split.name,
        "layer": task.layer,
        "method": task.method,
        "protocol": job.protocol,
        "seed": job.seed,
        "image_id": record.image_id,
    }
