"""How a run uses the machine: device, precision, sizes of batches and blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from omegaconf import DictConfig

from camsbench.errors import CamsbenchError
from camsbench.loader import worker_count

PRECISIONS = ("fp32", "tf32")


@dataclass(frozen=True)
class Runtime:
    """The fields of ``conf/runtime/*.yaml`` that the runner reads: none of them may change a row."""

    device: torch.device
    batch_size: int
    block: int
    workers: int


def prepare(node: DictConfig) -> Runtime:
    """Check the options of ``runtime`` and set the precision of CUDA's arithmetic.

    Raises:
        CamsbenchError: an option is out of range, or the device is not there.
    """
    for field in ("batch_size", "block"):
        if not isinstance(node[field], int) or node[field] < 1:
            raise CamsbenchError(f"runtime.{field}={node[field]}: give a number from 1 up")
    for field in ("fold", "repack"):
        if not isinstance(node[field], bool):
            raise CamsbenchError(f"runtime.{field}={node[field]}: give true or false")
    if node.precision not in PRECISIONS:
        raise CamsbenchError(f"runtime.precision={node.precision}: choose one of {', '.join(PRECISIONS)}")
    set_precision(node.precision)
    return Runtime(choose_device(node.device), node.batch_size, node.block, worker_count(node.workers))


def set_precision(precision: str) -> None:
    """``fp32`` turns TF32 off in CUDA's convolutions (where PyTorch has it on) and products, ``tf32`` on."""
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"


def choose_device(device: str) -> torch.device:
    """From ``runtime.device``: ``auto`` takes CUDA where there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        chosen = None
    if chosen is None or chosen.type not in {"cpu", "cuda"}:
        raise CamsbenchError(f"runtime.device={device}: give auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise CamsbenchError(
            f"runtime.device={device}: PyTorch sees {torch.cuda.device_count()} CUDA devices here; "
            "use runtime.device=cpu"
        )
    return chosen
