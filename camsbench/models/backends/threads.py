"""PyTorch's threads and another runtime's on the same cores."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

SOFT = 1  # omp_pause_soft of OpenMP 5.0, section 3.2.15


def rest() -> None:
    """Send PyTorch's idle threads to sleep.

    GNU's OpenMP lets threads that have nothing to do spin for milliseconds, in case more comes, and meanwhile they take
    the cores from ONNX Runtime's and OpenVINO's: a third of the time of a pass of one image on two cores. Nothing is
    done where PyTorch has another thread library, or none of its own.
    """
    pause = _pause()
    if pause is not None:
        pause(SOFT)


@lru_cache
def _pause() -> Callable[[int], int] | None:
    package = Path(torch.__file__).parent
    found = [*package.glob("lib/libgomp*.so*"), *package.parent.glob("torch.libs/libgomp*.so*")]
    if not found:
        return None
    pause: Callable[[int], int] | None = getattr(ctypes.CDLL(str(found[0])), "omp_pause_resource_all", None)
    return pause
