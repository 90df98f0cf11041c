"""Decode and crop images ahead of the device; an image that cannot be read becomes a sentence, not a crash."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from camsbench.data import Record
from camsbench.errors import CamsbenchError
from camsbench.preprocess import Box, Preprocess


@dataclass(frozen=True)
class Picture:
    """A decoded image: uint8 pixels [3,H,W] and its boxes in those pixels, or the sentence that says what failed."""

    pixels: Tensor | None
    boxes: list[Box]
    error: str | None = None


@dataclass(frozen=True)
class Batch:
    """The readable images of a batch, by their place in the run's list, and the unreadable ones with their errors."""

    pixels: Tensor | None  # uint8 [B,3,H,W]; None when nothing was readable
    places: list[int]
    failed: dict[int, str]
    boxes: tuple[tuple[Box, ...], ...]  # of the readable images, in their pixels

    def pin_memory(self) -> Batch:
        pixels = None if self.pixels is None else self.pixels.pin_memory()
        return replace(self, pixels=pixels)


def read(record: Record, preprocess: Preprocess) -> Picture:
    """Decode, resize and crop one image."""
    try:
        with Image.open(record.path) as image:
            pixels = preprocess.pixels(image)
            width, height = image.size
    except Exception as error:  # a decoder meets any kind of file
        reason = str(error).replace(str(record.path), record.path.name)
        return Picture(None, [], f"cannot read {record.path.name}: {type(error).__name__}: {reason}")
    boxes = list(record.boxes)
    if record.relative:
        boxes = [(x0 * width, y0 * height, x1 * width, y1 * height) for x0, y0, x1, y1 in boxes]
    return Picture(pixels, preprocess.boxes(boxes, width, height))


def batches(
    records: Sequence[Record], groups: Sequence[Sequence[int]], preprocess: Preprocess, workers: int, pin: bool
) -> Iterator[Batch]:
    """Each group of places in ``records`` as a batch, in order, read by ``workers`` processes (0: this one)."""
    loader = DataLoader(
        _Pictures(records, preprocess),
        batch_sampler=[list(group) for group in groups],
        collate_fn=_collate,
        num_workers=(count := min(workers, len(groups))),
        pin_memory=pin,
        multiprocessing_context=_context() if count else None,
    )
    yield from loader


def _context() -> str | None:
    """How worker processes begin: PyTorch's own way, but not by forking the threads of ONNX Runtime or OpenVINO."""
    return "forkserver" if {"onnxruntime", "openvino"} & sys.modules.keys() else None


def worker_count(workers: int | str) -> int:
    """From ``runtime.workers``: a number, or ``auto``, which leaves most cores to the network."""
    if workers == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(4, max(1, cores // 2))
    if not isinstance(workers, int) or workers < 0:
        raise CamsbenchError(f"runtime.workers={workers}: give a number from 0 up, or auto")
    return workers


class _Pictures(Dataset[tuple[int, Picture]]):
    def __init__(self, records: Sequence[Record], preprocess: Preprocess) -> None:
        self.records = records
        self.preprocess = preprocess

    def __getitem__(self, place: int) -> tuple[int, Picture]:
        return place, read(self.records[place], self.preprocess)


def _collate(items: list[tuple[int, Picture]]) -> Batch:
    read_ones = [(place, p.pixels, tuple(p.boxes)) for place, p in items if p.pixels is not None]
    pixels = torch.stack([p for _, p, _ in read_ones]) if read_ones else None
    failed = {place: picture.error for place, picture in items if picture.error is not None}
    return Batch(pixels, [place for place, _, _ in read_ones], failed, tuple(boxes for _, _, boxes in read_ones))
