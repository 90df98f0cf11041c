"""What does a block: images in, rows out. One lives in each process that works on a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from camsbench.config.job import Job
from camsbench.core import scoring
from camsbench.core.explained import Explained, explain
from camsbench.core.noise import stream_seeds
from camsbench.core.types import Forward, Split
from camsbench.data.loader import Batch, Loader
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError
from camsbench.models.split import TorchSplit
from camsbench.models.weights import checksum
from camsbench.run.account import Accountant, Closing, Spent
from camsbench.run.rows import Row, make_error_rows, measure_rows
from camsbench.run.work import Block, chunk
from camsbench.store.maps import MapFolder
from camsbench.store.schema import Task

log = logging.getLogger(__name__)

BLOCKS_AHEAD = 2  # blocks whose images are read before their turn


@dataclass(frozen=True)
class BlockResult:
    """A block's rows, the curves that belong to them, and grey maps for the gallery."""

    block: int
    rows: list[Row]
    curves: list[Row]
    spent: Spent
    maps: list[tuple[Task, int, np.ndarray]] = field(default_factory=list)  # with the image's place in the run
    boxes: int = 0  # of the readable images
    dropped: int = 0  # of these boxes: what the crop leaves nothing of

    @property
    def images(self) -> int:
        return len({row["image_id"] for row in self.rows})


class Worker:
    """Explains and measures blocks of a job, one after another.

    Args:
        job: the run.
        maps: which maps are wanted.
    """

    def __init__(self, job: Job, maps: MapFolder) -> None:
        self.job = job
        self._maps = maps
        runtime = job.runtime
        pin = runtime.device.type == "cuda"
        self._loader = Loader(job.records, job.split.preprocess, runtime.workers, pin)
        self._begun: dict[int, Iterator[Batch]] = {}
        self._stack = ExitStack()
        self._accountant = Accountant(job.split, runtime.bare)
        self._stack.callback(self._loader.close)
        self._weights = self._checksum()

    def do_block(self, block: Block, ahead: Sequence[Block], add_rows: Callable[[int], object]) -> BlockResult:
        """Do a block, while the images of the blocks ``ahead`` are being read; ``add_rows`` hears of rows done.

        Raises:
            CamsbenchError: the network's weights are no longer those that it began with.
        """
        rows: list[Row] = []
        curves: list[Row] = []
        kept: list[tuple[Task, int, np.ndarray]] = []
        boxes = inside = 0
        for batch in self._read_batches(block, ahead):
            for place, error in batch.failed.items():
                log.warning("%s", error)
                rows.extend(make_error_rows(self.job, self.job.records[place], block.tasks[place], error))
                add_rows(len(block.tasks[place]))
            boxes += sum(len(self.job.records[place].boxes) for place in batch.places)
            inside += sum(map(len, batch.boxes))
            for task, places, explained in explain_batch(self.job, block, batch):
                made = measure_rows(self.job, task, explained, [self.job.records[place] for place in places])
                rows.extend(made.rows)
                curves.extend(made.curves)
                grey = self._maps.wanted(places, explained.saliency)
                kept.extend((task, place, pixels) for place, pixels in grey.items())
                add_rows(len(made.rows))
                self._accountant.between()
        self._check_weights()
        return BlockResult(block.number, rows, curves, self._accountant.taken(), kept, boxes, boxes - inside)

    def close(self) -> Closing:
        """The work is done: what it took."""
        with self._stack:
            return self._accountant.close()

    def abort(self) -> None:
        """End without an account; after ``close`` nothing is left to do."""
        self._stack.close()

    def _read_batches(self, block: Block, ahead: Sequence[Block]) -> Iterator[Batch]:
        wanted = {each.number: each for each in (block, *ahead)}
        self._begun = {number: batches for number, batches in self._begun.items() if number in wanted}
        for number, each in wanted.items():
            if number not in self._begun:
                self._begun[number] = self._loader.begin(chunk(each.places, self.job.runtime.batch_size))
        return self._begun.pop(block.number)

    def _checksum(self) -> Tensor | None:
        split = self.job.split
        return checksum(split.model) if isinstance(split, TorchSplit) else None

    def _check_weights(self) -> None:
        now = self._checksum()
        if now is not None and self._weights is not None and not torch.equal(now, self._weights):
            raise CamsbenchError(
                f"the weights of {self.job.split.name} changed while it was explained: a method or metric of this run "
                "trains or edits the network and must put it back; the rows of this block are not kept"
            )


def explain_batch(job: Job, block: Block, batch: Batch) -> Iterator[tuple[Task, list[int], Explained]]:
    """What each method says of the readable images that it has to do, after the one pass a layer that all share."""
    if batch.pixels is None:
        return
    for split in job.splits:
        shared = shared_forward(job, split, batch.pixels, batch, [job.records[place] for place in batch.places])
        for name, method in job.methods.items():
            task = Task(split.layer, name)
            chosen = [i for i, place in enumerate(batch.places) if task in block.tasks[place]]
            if chosen:
                places = [batch.places[i] for i in chosen]
                yield task, places, explain(split, method, job.rule, shared.select(chosen))


def shared_forward(job: Job, split: Split, pixels: Tensor, batch: Batch, records: Sequence[Record]) -> Forward:
    """The one pass that all methods share at a layer, with what is known of the images.

    Args:
        pixels: of ``batch``, uint8 [B,C,H,W].
        records: of its readable images.
    """
    masks, truth, distractor = (
        None if each is None else each.to(split.device, non_blocking=True)
        for each in (batch.masks, batch.maps.get("truth"), batch.maps.get("distractor"))
    )
    boxes = tuple(  # of an image with a mask that alone says where its object's pixels are
        () if record.mask is not None else found for record, found in zip(records, batch.boxes, strict=True)
    )
    shared = replace(base_forward(job, split, pixels, records), boxes=boxes, masks=masks, outlines=batch.boxes)
    return replace(shared, truth=truth, distractor=distractor)


def _label(record: Record) -> int:
    if record.label is None:
        raise CamsbenchError(f"target=label: image {record.image_id} has no label: use target=predicted")
    return record.label


def base_forward(job: Job, split: Split, pixels: Tensor, records: Sequence[Record]) -> Forward:
    """The one pass that all methods share at a layer, on the device."""
    x = split.preprocess.normalise(pixels.to(job.runtime.device, non_blocking=True))
    target: Tensor | None = None
    if job.target != "predicted":
        classes = [_label(r) if job.target == "label" else int(job.target) for r in records]
        target = torch.tensor(classes, device=x.device)
    return scoring.forward(split, x, target, stream_seeds(job.seed, (r.image_id for r in records)))
