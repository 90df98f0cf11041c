"""The fields of ``conf/runtime/executor/*.yaml``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from camsbench.errors import CamsbenchError

CREWS = {"local": "LocalCrew", "ray": "RayCrew"}  # the class in the module of this name


@dataclass(frozen=True)
class ExecutorOptions:
    """Who works on a run. None of it may change a row."""

    name: str
    processes: int | None  # None, for Ray: as many as the cluster has room for
    threads: int | None  # of each process; None: as PyTorch chooses
    retries: int
    address: str | None = None  # of a Ray cluster
    named_device: bool = False  # runtime.device names one, such as cuda:1


def prepare(node: Mapping[str, Any], device: torch.device) -> ExecutorOptions:
    """Check the options of ``runtime.executor``.

    Raises:
        CamsbenchError: one is out of range.
    """
    name = node["name"]
    if name not in CREWS:
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
