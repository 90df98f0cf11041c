"""How a run uses the machine: device, precision, sizes of batches and blocks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig

from camsbench import executor_options as options
from camsbench.data.loader import worker_count
from camsbench.errors import CamsbenchError
from camsbench.executor_options import ExecutorOptions
from camsbench.models import backends
from camsbench.precision import check_compile, copies_dtype
from camsbench.store.shares import Shard

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
    copies_dtype: torch.dtype = torch.float32
    compile: bool = False


def prepare(node: DictConfig) -> Runtime:
    """Check the options of ``runtime`` and set the precision of CUDA's arithmetic.

    Raises:
        CamsbenchError: an option is out of range, or the device is not there.
    """
    for field in ("batch_size", "block"):
        if node[field] != "auto" and (not isinstance(node[field], int) or node[field] < 1):
            raise CamsbenchError(f"runtime.{field}={node[field]}: give a number from 1 up, or auto")
    for field in ("fold", "repack"):
        if not isinstance(node[field], bool):
            raise CamsbenchError(f"runtime.{field}={node[field]}: give true or false")
    if not isinstance(node.bare, int) or node.bare < 0:
        raise CamsbenchError(f"runtime.bare={node.bare}: give a number of repeats, or 0 to leave the measurement out")
    if not isinstance(node.heartbeat, int | float) or node.heartbeat <= 0:
        raise CamsbenchError(f"runtime.heartbeat={node.heartbeat}: give the seconds between two lines of progress")
    device = backends.place(node.backend, node.device)
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
        executor=options.prepare(node.executor, device),
        shard=Shard.parse(node.shard),
        heartbeat=node.heartbeat,
        copies_dtype=dtype,
        compile=compiles,
    )


def set_precision(precision: str) -> None:
    """``fp32`` turns TF32 off in CUDA's convolutions (where PyTorch has it on) and products, ``tf32`` on."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
