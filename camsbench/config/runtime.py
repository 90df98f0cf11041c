"""How a run uses the machine: device, precision, compilation, sizes of batches and blocks, who works on it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from camsbench.core.passes import PassOptions
from camsbench.data.loader import worker_count
from camsbench.errors import CamsbenchError
from camsbench.models import backends
from camsbench.store.shares import Shard

PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
COMPILERS = ("g++", "clang++", "c++", "cl")


def copies_dtype(precision: str, backend: str, device: torch.device) -> torch.dtype:
    """What products and convolutions of perturbed copies are calculated in, from ``runtime.precision``.

    Raises:
        CamsbenchError: no such precision, or it is not to be had there.
    """
    if precision not in PRECISIONS:
        raise CamsbenchError(f"runtime.precision={precision}: choose one of {', '.join(PRECISIONS)}")
    dtype = PRECISIONS[precision]
    if dtype == torch.float32:
        return dtype
    if backend != "torch" and (backend, precision) != ("openvino", "bf16"):
        known = "fp32 or bf16" if backend == "openvino" else "fp32"
        raise CamsbenchError(
            f"runtime.precision={precision}: runtime.backend={backend} runs in {known}; use runtime.precision=fp32, or "
            "runtime.backend=torch"
        )
    if dtype == torch.float16 and device.type != "cuda":
        raise CamsbenchError(
            f"runtime.precision=fp16: only a CUDA device is quicker in it, and this is {device.type}; use bf16 or fp32"
        )
    return dtype


def check_compile(wanted: object, backend: str, device: torch.device) -> bool:
    """``runtime.compile``, where what it needs is there.

    Raises:
        CamsbenchError: it is neither true nor false, the backend has no use for it, or a compiler is missing.
    """
    if not isinstance(wanted, bool):
        raise CamsbenchError(f"runtime.compile={wanted}: give true or false")
    if not wanted:
        return False
    if backend != "torch":
        raise CamsbenchError(f"runtime.compile=true: runtime.backend={backend} compiles by itself; leave it out")
    if device.type == "cuda":
        lacking = "" if importlib.util.find_spec("triton") else "the Python package triton"
    elif not any(shutil.which(name) for name in (os.environ.get("CXX", "g++"), *COMPILERS)):
        lacking = "a C++ compiler"
    else:
        header = Path(sysconfig.get_path("include")) / "Python.h"
        lacking = "" if header.is_file() else f"Python's headers ({header})"
    if lacking:
        raise CamsbenchError(f"runtime.compile=true needs {lacking}: install it, or use runtime.compile=false")
    return True


def set_precision(precision: str) -> None:
    """``fp32`` turns TF32 off in CUDA's convolutions (where PyTorch has it on) and products, ``tf32`` on."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class ExecutorOptions:
    """Who works on a run. None of it may change a row."""

    name: str
    processes: int | None  # None, for Ray: as many as the cluster has room for
    threads: int | None  # of each process; None: as PyTorch chooses
    retries: int
    address: str | None = None  # of a Ray cluster
    named_device: bool = False  # runtime.device names one, such as cuda:1


def check_executor(node: Mapping[str, Any], device: torch.device) -> ExecutorOptions:
    """Check the options of ``runtime.executor``.

    Raises:
        CamsbenchError: one is out of range.
    """
    name = node["name"]
    if name not in EXECUTORS:
        raise CamsbenchError(f"runtime.executor.name={name}: choose runtime/executor=local or runtime/executor=ray")
    for field in ("processes", "threads"):
        if node[field] != "auto" and (type(node[field]) is not int or node[field] < 1):
            raise CamsbenchError(f"runtime.executor.{field}={node[field]}: give a number from 1 up, or auto")
    retries = node["retries"]
    if type(retries) is not int or retries < 0:
        raise CamsbenchError(f"runtime.executor.retries={retries}: give a number from 0 up")
    processes = None if node["processes"] == "auto" else node["processes"]
    named = device.index is not None
    if name == "local" and processes is None:
        processes = torch.cuda.device_count() if device.type == "cuda" and not named else 1
    threads = None if node["threads"] == "auto" else node["threads"]
    if threads is None and "OMP_NUM_THREADS" not in os.environ and (processes is None or processes > 1):
        threads = max(1, cores() // processes) if processes else 1
    return ExecutorOptions(name, processes, threads, retries, node.get("address"), named)


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


AUTO_BATCH = {"cpu": 16, "cuda": 64}


@dataclass(frozen=True)
class Runtime:
    """The fields of ``conf/runtime/*.yaml`` that a run needs. Sizes and places may not change a row."""

    device: torch.device
    batch_size: int
    block: int
    workers: int
    bare: int  # how often a bare pass is timed after a run
    backend: str
    cache: Path | None  # None: the user's cache folder
    executor: ExecutorOptions
    shard: Shard
    heartbeat: float  # seconds
    options: PassOptions
    tune_process: bool  # see ``camsbench.core.process``


def check_runtime(node: DictConfig) -> Runtime:
    """Check the options of ``runtime`` and set the precision of CUDA's arithmetic.

    Raises:
        CamsbenchError: an option is out of range, or the device is not there.
    """
    for field in ("batch_size", "block"):
        if node[field] != "auto" and (not isinstance(node[field], int) or node[field] < 1):
            raise CamsbenchError(f"runtime.{field}={node[field]}: give a number from 1 up, or auto")
    tune_process = node.get("tune_process", True)  # runs of 0.1.0 have no such field
    for field, value in (("fold", node.fold), ("repack", node.repack), ("tune_process", tune_process)):
        if not isinstance(value, bool):
            raise CamsbenchError(f"runtime.{field}={value}: give true or false")
    if not isinstance(node.bare, int) or node.bare < 0:
        raise CamsbenchError(f"runtime.bare={node.bare}: give a number of repeats, or 0 to leave the measurement out")
    if not isinstance(node.heartbeat, int | float) or node.heartbeat <= 0:
        raise CamsbenchError(f"runtime.heartbeat={node.heartbeat}: give the seconds between two lines of progress")
    device = backends.choose_place(node.backend, node.device)
    dtype = copies_dtype(node.precision, node.backend, device)
    compiles = check_compile(node.compile, node.backend, device)
    set_precision(node.precision)
    batch_size = AUTO_BATCH.get(device.type, 16) if node.batch_size == "auto" else node.batch_size
    return Runtime(
        device=device,
        batch_size=batch_size,
        block=max(16, batch_size) if node.block == "auto" else node.block,
        workers=worker_count(node.workers),
        bare=node.bare,
        backend=node.backend,
        cache=Path(node.cache).expanduser() if node.cache else None,
        executor=check_executor(node.executor, device),
        shard=Shard.parse(node.shard),
        heartbeat=node.heartbeat,
        options=PassOptions(fold=node.fold, repack=node.repack, copies_dtype=dtype, compile=compiles),
        tune_process=tune_process,
    )
