"""What a run cost: its passes by kind, memory, the device's time, and how far it was from the bare network."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from camsbench.core.passes import Passes
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.speed import BareTimer, Speed
from camsbench.models.split import TorchSplit

STATUS = Path("/proc/self/status")


def peak_rss() -> float | None:
    """MiB that this process held at most, since it began; None where the platform does not say.

    On Linux not ``getrusage``'s, which begins with what the process that started this one held.
    """
    if STATUS.is_file():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def peak_device(device: torch.device) -> float | None:
    """MiB of tensors that a CUDA device held at most for this process; None on others."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


class DeviceUse:
    """The share of the time that a CUDA device is busy, as its driver says now and then; nothing on others."""

    def __init__(self, device: torch.device, seconds: float = 1.0) -> None:
        self._device = device
        self._seconds = seconds
        self._next = 0.0
        self._said: list[int] = []
        self._asks = device.type == "cuda"

    def sample(self) -> None:
        """Ask the driver, at most once in ``seconds``."""
        if not self._asks or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._seconds
        try:
            self._said.append(torch.cuda.utilization(self._device))
        except (ImportError, RuntimeError):  # PyTorch asks through nvidia-ml-py, which is not everywhere
            self._asks = False

    @property
    def percent(self) -> float | None:
        """The mean of what was said; None where nobody was asked."""
        return sum(self._said) / len(self._said) if self._said else None


@dataclass(frozen=True)
class Spent:
    """What one process spent on a block."""

    passes: Passes
    measuring: float  # seconds that bare passes were timed


@dataclass(frozen=True)
class Closing:
    """What one process says of itself when its work is done."""

    bare: Speed | None
    repeats: int
    peak_memory: float | None  # MiB
    peak_device_memory: float | None  # MiB of tensors on a CUDA device
    cpu_seconds: float
    device_use: float | None  # percent of the time that a CUDA device was busy


@dataclass
class Account:
    """The passes of one session of a run, the seconds that it took, and the bare speed of the same split.

    ``bare`` is measured while the work goes on and right after it (``camsbench.models.speed``): the median of
    ``repeats``, at least ``runtime.bare`` of them. ``efficiency`` is the time that the passes take bare, as a share of
    the time that the session's processes took, less that of measuring: reading, masks, metrics and writing are what is
    missing to 1.
    """

    images: int = 0
    seconds: float = 0.0
    passes: Passes = field(default_factory=Passes)
    bare: Speed | None = None
    repeats: int = 0
    processes: int = 1
    closings: Sequence[Closing] = ()
    boxes: int = 0
    dropped: int = 0  # boxes that the crop leaves nothing of

    @classmethod
    def of(cls, images: int, seconds: float, spent: Sequence[Spent], closings: Sequence[Closing]) -> Account:
        """From what each process said; ``seconds`` by the clock, those of measuring among them."""
        processes = max(1, len(closings))
        passes = sum((each.passes for each in spent), Passes())
        seconds -= sum(each.measuring for each in spent) / processes
        timed = [(each.bare, each.repeats) for each in closings if each.bare is not None]
        if not timed:
            return cls(images, seconds, passes, processes=processes, closings=closings)
        kinds = zip(*(asdict(bare).values() for bare, _ in timed), strict=True)
        bare = Speed(*map(statistics.median, kinds))
        return cls(images, seconds, passes, bare, min(repeats for _, repeats in timed), processes, closings)

    @property
    def efficiency(self) -> float | None:
        """None where nothing was done or the bare speed was not measured."""
        if self.bare is None or not self.images:
            return None
        return self.bare.seconds(self.passes) / (self.seconds * self.processes)

    def record(self) -> dict[str, Any]:
        """For the run's ``environment.json``."""
        found: dict[str, Any] = {"images": self.images, "seconds": round(self.seconds, 3), **asdict(self.passes)}
        found |= {"processes": self.processes, "boxes": self.boxes, "boxes_dropped": self.dropped}
        kinds = {"peak_memory_mib": "peak_memory", "peak_device_memory_mib": "peak_device_memory"}
        kinds |= {"cpu_seconds": "cpu_seconds", "device_use_percent": "device_use"}
        for name, kind in kinds.items():  # of several processes the most, and of their CPU seconds the sum
            said = [value for each in self.closings if (value := getattr(each, kind)) is not None]
            found[name] = (sum if kind == "cpu_seconds" else max)(said) if said else None
        if self.bare is not None:
            found |= {"bare_seconds_a_pass": asdict(self.bare), "bare_repeats": self.repeats}
            found["efficiency"] = self.efficiency
        return found

    def sentence(self) -> str:
        """For the summary."""
        passes = self.passes
        kinds = {"forward": passes.forward, "head": passes.head_only, "backward": passes.backward, "tail": passes.tail}
        said = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count or kind == "forward")
        text = f"Passes: {said} for {self.images} images ({passes.forward / max(1, self.images):,.1f} forward each)"
        text += f", {passes.forward / self.seconds:,.1f} forward a second" if self.seconds else ""
        if self.bare is not None and self.efficiency is not None:
            text += (
                f"; the bare network makes {self.bare.forward_rate:,.1f} (median of {self.repeats}, in this run): "
                f"efficiency {100 * self.efficiency:.1f} %"
            )
        if self.dropped:
            text += f". {self.dropped:,} of {self.boxes:,} boxes lie outside the crop and were dropped"
        return text + "."


class Accountant:
    """What a process spends from its making on: the passes of a split's network, and bare ones that it times between.

    Args:
        split: its passes are all of the run's; bare ones are counted elsewhere.
        repeats: of bare passes; 0: none.
    """

    def __init__(self, split: TorchSplit | ExportedSplit, repeats: int) -> None:
        self._split = split
        self._first = self._taken = replace(split.passes)
        self._measured = 0.0
        self._timer = BareTimer(replace(split, passes=Passes()), repeats) if repeats else None
        self._use = DeviceUse(split.device)
        self._begun = _clocks()

    def between(self) -> None:
        """To be called now and then between the work: times bare micro-batches while they are due."""
        self._use.sample()
        while self._timer is not None and self._timer.due:
            self._timer.sample()

    def taken(self) -> Spent:
        """What was spent since this was last asked."""
        passes, measured = replace(self._split.passes), self._timer.seconds if self._timer is not None else 0.0
        spent = Spent(passes - self._taken, measured - self._measured)
        self._taken, self._measured = passes, measured
        return spent

    def close(self) -> Closing:
        """The work is done: what is still to be measured, and what the process needed."""
        seconds, cpu_seconds = (now - then for now, then in zip(_clocks(), self._begun, strict=True))
        peaks = peak_rss(), peak_device(self._split.device)
        bare, repeats = None, 0
        if self._timer is not None and self._timer.samples:
            bare, repeats = self._timer.speed(self._split.passes - self._first, max(5.0, seconds / 10))
        return Closing(bare, repeats, *peaks, cpu_seconds, self._use.percent)


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
