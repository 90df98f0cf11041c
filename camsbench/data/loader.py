"""Decode and crop images ahead of the device; an image that cannot be read becomes a sentence, not a crash."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from camsbench.core.preprocess import Box, Preprocess
from camsbench.data.depth import to_bytes
from camsbench.data.record import Record
from camsbench.errors import CamsbenchError

ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")  # of an object in memory: another in every run
AHEAD = 2  # batches that wait, read, for the network


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


def read(record: Record, preprocess: Preprocess) -> Picture:
    """Decode, resize and crop one image."""
    try:
        with record.source.open("rb") as file, Image.open(file) as image:
            pixels = preprocess.pixels(to_bytes(image, record.scale))
            width, height = image.size
    except Exception as error:  # a decoder meets any kind of file
        name = record.source.name
        reason = ADDRESS.sub(name, str(error).replace(str(record.source), name))
        return Picture(None, [], f"cannot read {name}: {type(error).__name__}: {reason}")
    boxes = list(record.boxes)
    if record.relative:
        boxes = [(x0 * width, y0 * height, x1 * width, y1 * height) for x0, y0, x1, y1 in boxes]
    return Picture(pixels, preprocess.boxes(boxes, width, height))


class Loader:
    """Reads batches ahead with ``workers`` threads (0: none, each batch is read when it is asked for).

    Decoding and resizing let go of Python's lock, so threads read side by side; unlike processes they begin at once and
    need no copy of the run.
    """

    def __init__(self, records: Sequence[Record], preprocess: Preprocess, workers: int, pin: bool) -> None:
        self._records = records
        self._preprocess = preprocess
        self._pin = pin
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="camsbench-loader") if workers else None

    def begin(self, groups: Sequence[Sequence[int]]) -> Iterator[Batch]:
        """Each group of places as a batch, in order; the first of them are being read when this returns."""
        return self._rest(deque(map(self._asked, groups[:AHEAD])), groups[AHEAD:])

    def close(self) -> None:
        """Drop what was not read yet."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _rest(self, asked: deque[Callable[[], Batch]], groups: Sequence[Sequence[int]]) -> Iterator[Batch]:
        for group in groups:
            asked.append(self._asked(group))
            yield asked.popleft()()
        while asked:
            yield asked.popleft()()

    def _asked(self, group: Sequence[int]) -> Callable[[], Batch]:
        if self._pool is None:
            return lambda: _batch(group, map(self._picture, group), self._pin)
        pictures = [self._pool.submit(self._picture, place) for place in group]
        return lambda: _batch(group, (picture.result() for picture in pictures), self._pin)

    def _picture(self, place: int) -> Picture:
        return read(self._records[place], self._preprocess)


def batches(
    records: Sequence[Record], groups: Sequence[Sequence[int]], preprocess: Preprocess, workers: int, pin: bool
) -> Iterator[Batch]:
    """Each group of places in ``records`` as a batch, in order, read ahead by ``workers`` threads (0: by this one)."""
    loader = Loader(records, preprocess, workers, pin)
    try:
        yield from loader.begin(groups)
    finally:  # also where the run ends early
        loader.close()


def worker_count(workers: int | str) -> int:
    """From ``runtime.workers``: a number, or ``auto``, a thread a core, up to four."""
    if workers == "auto":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(4, cores)
    if not isinstance(workers, int) or workers < 0:
        raise CamsbenchError(f"runtime.workers={workers}: give a number from 0 up, or auto")
    return workers


def _batch(group: Sequence[int], pictures: Iterable[Picture], pin: bool) -> Batch:
    every = list(zip(group, pictures, strict=True))
    good = [(place, p.pixels, tuple(p.boxes)) for place, p in every if p.pixels is not None]
    pixels = torch.stack([p for _, p, _ in good]) if good else None
    failed = {place: picture.error for place, picture in every if picture.error is not None}
    pixels = pixels.pin_memory() if pin and pixels is not None else pixels
    return Batch(pixels, [place for place, _, _ in good], failed, tuple(boxes for _, _, boxes in good))
