"""What ``runtime.precision`` and ``runtime.compile`` ask for, where it is to be had."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

import torch

from camsbench.errors import CamsbenchError

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
