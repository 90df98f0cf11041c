"""The batch loop: data -> forward -> explain -> metrics -> rows -> parts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from tqdm import tqdm

from camsbench import scoring
from camsbench.accounting import Account, accounted
from camsbench.data import Record
from camsbench.explained import Explained, explain
from camsbench.job import Job
from camsbench.loader import Batch, batches
from camsbench.noise import stream_seeds
from camsbench.pending import Pending, Task, pending, where
from camsbench.report.saved import MapFolder
from camsbench.rows import Measured, failed, measured
from camsbench.store import RunFolder
from camsbench.types import Forward, Split

log = logging.getLogger(__name__)


def run(job: Job, folder: RunFolder) -> Account:
    """Do what is pending, a block of images a part."""
    todo = pending(job, folder)
    maps = MapFolder(folder.path / "maps", job.gallery)
    bar = tqdm(total=todo.maps, unit="map", disable=None, desc=job.split.name)
    with accounted(job) as accountant, bar:
        for block in _blocks(job, todo):
            rows, curves = [], []
            for batch in block:
                for made in _batch_rows(job, todo, batch, maps):
                    rows.extend(made.rows)
                    curves.extend(made.curves)
                    bar.update(len(made.rows))
                    accountant.between()
            folder.write_part(rows, job.columns, curves)
            accountant.account.images += len({row["image_id"] for row in rows})
    _draw_missing(job, folder, maps)
    return accountant.account


def _draw_missing(job: Job, folder: RunFolder, maps: MapFolder) -> None:
    """Explain again the gallery's images whose rows stem from a session that kept no map of them."""
    done = folder.done(good=True)

    def lacking(record: Record, task: Task) -> bool:
        return (record.image_id, task.method, task.layer) in done and maps.load(task, record) is None

    todo = where(job, lacking, maps.count)
    for batch in (batch for block in _blocks(job, todo) for batch in block):
        for task, places, explained in _explained(job, todo, batch):
            maps.save(task, places, job.records, explained.saliency)


def _blocks(job: Job, todo: Pending) -> Iterator[Iterator[Batch]]:
    """Batches by block; one loader runs ahead through all of them."""
    runtime = job.runtime
    blocks = [_cut(block, runtime.batch_size) for block in _cut(list(todo.tasks), runtime.block)]
    groups = [group for block in blocks for group in block]
    if not groups:
        return
    loaded = batches(job.records, groups, job.split.preprocess, runtime.workers, pin=runtime.device.type == "cuda")
    for block in blocks:
        yield (next(loaded) for _ in block)


def _cut(places: list[int], size: int) -> list[list[int]]:
    return [places[i : i + size] for i in range(0, len(places), size)]


def _batch_rows(job: Job, todo: Pending, batch: Batch, maps: MapFolder) -> Iterator[Measured]:
    """The rows of a batch, one method at a time."""
    for place, error in batch.failed.items():
        log.warning("%s", error)
        yield failed(job, job.records[place], todo.tasks[place], error)
    for task, places, explained in _explained(job, todo, batch):
        yield measured(job, task, explained, [job.records[place] for place in places])
        maps.save(task, places, job.records, explained.saliency)


def _explained(job: Job, todo: Pending, batch: Batch) -> Iterator[tuple[Task, list[int], Explained]]:
    """What each method says of the readable images that it has to do, after the one pass a layer that all share."""
    if batch.pixels is None:
        return
    for split in job.splits:
        shared = base_forward(job, split, batch.pixels, [job.records[place] for place in batch.places])
        shared = replace(shared, boxes=batch.boxes)
        for name, method in job.methods.items():
            task = Task(split.layer, name)
            chosen = [i for i, place in enumerate(batch.places) if task in todo.tasks[place]]
            if chosen:
                places = [batch.places[i] for i in chosen]
                yield task, places, explain(split, method, job.rule, shared.select(chosen))


def base_forward(job: Job, split: Split, pixels: Tensor, records: Sequence[Record]) -> Forward:
    """The one pass that all methods share at a layer, on the device."""
    x = split.preprocess.normalise(pixels.to(job.runtime.device, non_blocking=True))
    target: Tensor | None = None
    if job.target != "predicted":
        classes = [r.label if job.target == "label" else int(job.target) for r in records]
        target = torch.tensor(classes, device=x.device)
    return scoring.forward(split, x, target, stream_seeds(job.seed, (r.image_id for r in records)))
