"""What a process has needed of the machine: memory, and the device's time."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch

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
