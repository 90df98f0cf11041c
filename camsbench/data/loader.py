"""Decode and crop images ahead of the device; an image that cannot be read becomes a sentence, not a crash."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from camsbench.core.preprocess import Box, Preprocess
from camsbench.data.depth import to_bytes
from camsbench.data.record import ImageSource, MaskSource, Record
from camsbench.errors import CamsbenchError

ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")  # of an object in memory: another in every run
AHEAD = 2  # batches that wait, read, for the network
KNOWN = ("truth", "distractor")  # fields of a record that are maps


@dataclass(frozen=True)
class Picture:
    """A decoded image: uint8 pixels [C,H,W], its boxes in those pixels, its mask and known maps, or what failed."""

    pixels: Tensor | None
    boxes: list[Box]
    error: str | None = None
    mask: Tensor | None = None  # bool [H,W]; None where the image has none
    maps: Mapping[str, Tensor] = field(default_factory=dict)  # float [H,W]: those of KNOWN that the image has

    def in_colour(self) -> np.ndarray:
        """The pixels as they are shown, uint8 [H,W,3]: a grey picture three times, of four channels the first three."""
        assert self.pixels is not None
        three = self.pixels.expand(3, -1, -1) if len(self.pixels) == 1 else self.pixels[:3]
        return three.permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class Batch:
    """The readable images of a batch, by their place in the run's list, and the unreadable ones with their errors."""

    pixels: Tensor | None  # uint8 [B,C,H,W]; None when nothing was readable
    places: list[int]
    failed: dict[int, str]
    boxes: tuple[tuple[Box, ...], ...]  # of the readable images, in their pixels
    masks: Tensor | None = None  # bool [B,H,W], all outside of images without one; None where no image has one
    maps: Mapping[str, Tensor] = field(default_factory=dict)  # float [B,H,W], NaN for images without one


def read(record: Record, preprocess: Preprocess) -> Picture:
    """Decode, resize and crop one image."""
    try:
        with record.source.open("rb") as file, Image.open(file) as image:
            pixels = preprocess.pixels(to_bytes(image, record.scale))
            width, height = image.size
            if record.sides is not None and record.sides != (width, height):
                said = "x".join(map(str, record.sides))
                raise ValueError(f"it is of {width}x{height} pixels, and its boxes are of a picture of {said}")
    except Exception as error:  # a decoder meets any kind of file
        return Picture(None, [], _unread(record.source, "", error))
    try:
        mask = _mask(record.mask, width, height, preprocess) if record.mask is not None else None
        known = {name: source for name in KNOWN if (source := getattr(record, name)) is not None}
        maps = {name: preprocess.map(source.pixels(width, height)) for name, source in known.items()}
    except Exception as error:  # as above; without its mask the image would count as one that has none
        source = getattr(record.mask, "source", record.source)
        return Picture(None, [], _unread(source, "the mask " if source is not record.source else "the mask of ", error))
    boxes = list(record.boxes)
    if record.relative:
        boxes = [(x0 * width, y0 * height, x1 * width, y1 * height) for x0, y0, x1, y1 in boxes]
    return Picture(pixels, preprocess.boxes(boxes, width, height), mask=mask, maps=maps)


def _mask(mask: MaskSource, width: int, height: int, preprocess: Preprocess) -> Tensor:
    inside = mask.pixels(width, height)
    if inside.shape != (height, width):
        raise ValueError(f"it is of {inside.shape[1]}x{inside.shape[0]} pixels, and the picture of {width}x{height}")
    return preprocess.mask(Image.fromarray(inside.astype(np.uint8) * 255))


def _unread(source: ImageSource, what: str, error: Exception) -> str:
    """The same sentence in every run: without the place where the data lie."""
    name = source.name
    reason = ADDRESS.sub(name, str(error).replace(str(source), name))
    return f"cannot read {what}{name}: {type(error).__name__}: {reason}"


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
    good = [(place, picture, picture.pixels) for place, picture in every if picture.pixels is not None]
    failed = {place: picture.error for place, picture in every if picture.error is not None}
    pixels = _pinned(torch.stack([pixels for _, _, pixels in good]), pin) if good else None
    masks = None
    if any(picture.mask is not None for _, picture, _ in good):
        outside = torch.zeros(good[0][2].shape[1:], dtype=torch.bool)
        masks = _pinned(torch.stack([outside if p.mask is None else p.mask for _, p, _ in good]), pin)
    boxes = tuple(tuple(picture.boxes) for _, picture, _ in good)
    maps = {}
    for name in KNOWN:
        if any(name in picture.maps for _, picture, _ in good):
            unknown = torch.full(good[0][2].shape[1:], torch.nan)
            maps[name] = _pinned(torch.stack([picture.maps.get(name, unknown) for _, picture, _ in good]), pin)
    return Batch(pixels, [place for place, _, _ in good], failed, boxes, masks, maps)


def _pinned(tensor: Tensor, pin: bool) -> Tensor:
    return tensor.pin_memory() if pin else tensor
