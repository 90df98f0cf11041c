"""How a process is tuned for passes on the processor: glibc's freed memory is kept, PyTorch's idle threads make way.

Neither changes a number. ``runtime.tune_process=false`` turns both off.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch

LARGEST = 2**31 - 1
# A network's activations are larger than malloc's mmap threshold, so that each of them would be mapped, cleared page by
# page by the kernel, and unmapped again after every layer, which costs nearly half of the time. So: never map, never
# give memory back, ask for 64 MiB more than is needed.
ALLOCATOR = {"MALLOC_MMAP_MAX_": 0, "MALLOC_TRIM_THRESHOLD_": LARGEST, "MALLOC_TOP_PAD_": 2**26}
MALLOPT = {"MALLOC_MMAP_MAX_": -4, "MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_TOP_PAD_": -2}  # glibc's malloc.h
SOFT = 1  # omp_pause_soft of OpenMP 5.0, section 3.2.15

_threads_may_pause = True  # of this process, as its threads are


def process_environment(tune: bool) -> dict[str, str]:
    """What tunes the allocator of a process that is about to be started; other allocators than glibc's ignore it."""
    return {name: str(value) for name, value in ALLOCATOR.items()} if tune else {}


def tune_allocator() -> bool:
    """Let glibc's malloc keep freed memory from now on, for as long as this process lives; False without glibc.

    For the command line alone: an import, or the Python API in a user's process, must not do it.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(MALLOPT[name], value) for name, value in ALLOCATOR.items())


def allow_pauses(allowed: bool) -> None:
    """Whether ``pause_threads`` does anything in this process; it does unless it is told otherwise."""
    global _threads_may_pause
    _threads_may_pause = allowed


def pause_threads() -> None:
    """Send PyTorch's idle threads to sleep, before another runtime works on the same cores.

    GNU's OpenMP lets threads that have nothing to do spin for milliseconds, in case more comes, and meanwhile they take
    the cores from ONNX Runtime's and OpenVINO's: a third of the time of a pass of one image on two cores. Nothing is
    done where PyTorch has another thread library, or none of its own.
    """
    if _threads_may_pause and (pause := _omp_pause()) is not None:
        pause(SOFT)


@lru_cache
def _omp_pause() -> Callable[[int], int] | None:
    package = Path(torch.__file__).parent
    found = [*package.glob("lib/libgomp*.so*"), *package.parent.glob("torch.libs/libgomp*.so*")]
    if not found:
        return None
    pause: Callable[[int], int] | None = getattr(ctypes.CDLL(str(found[0])), "omp_pause_resource_all", None)
    return pause
