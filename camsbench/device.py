"""The device that PyTorch works on."""

from __future__ import annotations

import torch

from camsbench.errors import CamsbenchError


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
