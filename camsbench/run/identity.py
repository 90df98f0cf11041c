"""What makes two runs the same run, and what is written down about the machine that ran it."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from omegaconf import OmegaConf
from torch.fx import GraphModule

import camsbench
from camsbench.config.images import PLACE, SELECTION
from camsbench.config.job import Job
from camsbench.config.paths import PACKAGE
from camsbench.models.split import TorchSplit
from camsbench.run.code import own_code, plugin_code
from camsbench.store.environment import follow_moves

UNSET = ("scale", None)  # as of data of 8 bits
PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "pillow",
    "hydra-core",
    "onnxruntime",
    "openvino",
)


def identity(job: Job) -> dict[str, Any]:
    """The choices that decide a row, flat: ``{"seed": 0, "method.groupcam.groups": 32, ...}``.

    Not device, sizes of batches and blocks, limits or output: those may change between a run and its continuation.
    """
    cfg = _config(job)
    not_identity = (*SELECTION, *PLACE, "_target_")
    given = {key: cfg["model"].get(key) for key in ("options", "output", "output_name", "strip", "layout", "grid")}
    chosen = {
        "model": {
            "name": job.split.name,
            "layer": [split.layer for split in job.splits],
            "weight_hash": job.split.weight_hash,
            **{key: value for key, value in given.items() if value and value != "softmax"},
            **({} if cfg["model"].get("prefix") is None else {"prefix": cfg["model"]["prefix"]}),
            **_program(job),
        },
        "preprocess": vars(job.split.preprocess),
        **({"data.labels": labels} if (labels := _label_names(job)) else {}),
        "data": {key: value for key, value in cfg["data"].items() if key not in not_identity and (key, value) != UNSET},
        "method": cfg["method"],
        "metric": cfg["metric"],
        "protocol": cfg["protocol"],
        "target": cfg["target"],
        **({} if cfg.get("contrast") is None else {"contrast": cfg["contrast"]}),
        "seed": cfg["seed"],
        "runtime.precision": cfg["runtime"]["precision"],
        "runtime.fold": cfg["runtime"]["fold"],
        "runtime.compile": cfg["runtime"]["compile"],
        "runtime.backend": job.runtime.backend,
        "code": plugin_code(cfg),
    }
    flat: dict[str, Any] = json.loads(json.dumps(_flatten(chosen)))
    return flat


def _label_names(job: Job) -> str | None:
    """What stands for the names that the data's labels and the network's classes have, where the data's are names."""
    names = getattr(job.source, "class_names", ())
    return hashlib.sha256(repr((names, job.split.class_names)).encode()).hexdigest()[:16] if names else None


def _program(job: Job) -> dict[str, str]:
    """What stands for the operations of a network that is a file of them, beside its weights."""
    model = job.split.model if isinstance(job.split, TorchSplit) else None
    if not isinstance(model, GraphModule):
        return {}
    return {"program": hashlib.sha256(str(model.code).encode()).hexdigest()[:16]}


def short_hash(identity: dict[str, Any]) -> str:
    """Six hex digits that stand for an identity in a folder's name."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:6]


def provenance(job: Job) -> dict[str, Any]:
    """Versions, device and revision of one session of a run."""
    device = job.runtime.device
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv[1:],
        "camsbench": camsbench.__version__,
        "code": own_code(_config(job)),
        "left_out": job.left_out,
        "classes": {"count": job.split.num_classes, "names": list(job.split.class_names)},
        "git_revision": _git_revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "device_type": device.type,
        "threads": torch.get_num_threads(),
        "micro_batch": job.split.micro_batch.size,
    }


def _config(job: Job) -> dict[str, Any]:
    cfg = follow_moves(OmegaConf.to_container(job.config, resolve=True))
    assert isinstance(cfg, dict)
    return cfg


def _flatten(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or (not node and prefix != "code"):
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git_revision() -> str | None:
    if not (PACKAGE.parent / ".git").exists():  # installed, perhaps inside somebody else's repository
        return None
    command = ["git", "-C", str(PACKAGE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
