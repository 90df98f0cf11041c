"""Graphs on ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from camsbench.core.process import pause_threads
from camsbench.models.backends.exported import Graph


def compile_graph(path: Path, dtype: torch.dtype = torch.float32) -> Graph:
    """The graph of a file, in float32 alone, on as many threads as PyTorch has."""
    assert dtype == torch.float32
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads in the way of PyTorch's
    options.log_severity_level = 4  # what goes wrong is raised
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def graph(x: Tensor) -> Tensor:
        pause_threads()
        return torch.from_numpy(session.run(["y"], {"x": x.contiguous().numpy()})[0])  # x is read and y kept: no copy

    return graph
