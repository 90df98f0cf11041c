"""What a reader must know of the machine and the packages before believing a number."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = (
    "camsbench",
    "torch",
    "onnxruntime",
    "openvino",
    "torchcam",
    "grad-cam",
    "captum",
    "quantus",
    "timm",
    "numpy",
)


def facts() -> str:
    """One line for the foot of each table."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"{_processor()}, {cores} cores, {torch.get_num_threads()} threads of PyTorch, load {_load()} when it began, "
        f"{platform.system()}, Python {platform.python_version()}; {packages}."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
