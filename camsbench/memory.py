"""How much memory a process has held."""

from __future__ import annotations

import sys
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
