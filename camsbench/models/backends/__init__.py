"""Where the network runs: PyTorch itself, or its exported graphs on ONNX Runtime or OpenVINO."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from camsbench.core.passes import PassOptions
from camsbench.errors import CamsbenchError
from camsbench.models.backends.export import Export, agreement
from camsbench.models.backends.exported import Compile, ExportedSplit
from camsbench.models.split import TorchSplit
from camsbench.models.weights import ModelSpec

FILES = ("onnxruntime", "openvino")  # what passes a network that exists only as ONNX, in the order of choice
BACKENDS = {"torch": "", "onnxruntime": "onnx", "openvino": "openvino"}  # and the extra that installs it
PROVIDES = {"torch": frozenset({"gradient", "modules"})}


def provides(backend: str) -> frozenset[str]:
    """What a backend's splits can do beside their three calls (see ``camsbench.core.types.Split``)."""
    return PROVIDES.get(backend, frozenset())


def choose(backend: str, exported: bool) -> str:
    """The backend of a network: of one that exists only as ONNX (``exported``) the first that is installed for it.

    Raises:
        CamsbenchError: none is.
    """
    if not exported or backend != "torch":
        return backend
    for name in FILES:
        if importlib.util.find_spec(name) is not None:
            return name
    raise CamsbenchError(
        f"a network of an ONNX or TorchScript file runs on {' or '.join(FILES)}, and neither is installed: "
        "pip install 'camsbench[onnx]'"
    )


def choose_place(backend: str, device: str) -> torch.device:
    """The device of a backend, from ``runtime.device``.

    Raises:
        CamsbenchError: the backend is unknown or not installed, or the device is not there or not for it.
    """
    if backend not in BACKENDS:
        raise CamsbenchError(f"runtime.backend={backend}: choose one of {', '.join(BACKENDS)}")
    if backend == "torch":
        return choose_device(device)
    lacking = [name for name in ("onnx", "onnxscript", backend) if importlib.util.find_spec(name) is None]
    if lacking:
        raise CamsbenchError(
            f"runtime.backend={backend}: the Python package {lacking[0]} is not installed; "
            f"pip install 'camsbench[{BACKENDS[backend]}]', or use runtime.backend=torch"
        )
    if device not in {"auto", "cpu"}:
        raise CamsbenchError(
            f"runtime.device={device}: runtime.backend={backend} runs on the processor; use runtime.device=cpu, "
            "or runtime.backend=torch"
        )
    return torch.device("cpu")


def move_to(
    backend: str, splits: Sequence[TorchSplit | ExportedSplit], cache: Path | None = None
) -> Sequence[TorchSplit | ExportedSplit]:
    """The same network, cut at the same layers, on a backend; the whole network is exported and compiled once.

    Splits of an ONNX file are on their backend already.

    What is exported stays in ``cache`` (None: the user's cache folder) for the next time. Features, head and whole
    network are compared with PyTorch each time, for batches of 1 and 3 images.

    Raises:
        CamsbenchError: the network cannot be exported, or its graphs do not agree with PyTorch.
    """
    networks = [split for split in splits if isinstance(split, TorchSplit)]
    if backend == "torch" or not networks:
        return splits
    compile_graph = compiler(backend)
    exports = [Export.of(split, cache) for split in networks]
    with torch.inference_mode():
        whole, dtype = compile_graph(exports[0].whole()), networks[0].options.copies_dtype
        copies = None if dtype == torch.float32 else compile_graph(exports[0].whole(), dtype)
        made = [
            ExportedSplit.of(
                split, compile_graph(export.features()), compile_graph(export.head()), whole, copies, export.shapes
            )
            for split, export in zip(networks, exports, strict=True)
        ]
        for split, exported in zip(networks, made, strict=True):
            agreement(split, exported, f"runtime.backend={backend}")
    return made


def load_file(
    backend: str,
    file: str,
    spec: ModelSpec,
    options: PassOptions,
    micro_batch: int | str = "auto",
    transform: Mapping[str, Any] | None = None,
    cache: Path | None = None,
) -> list[ExportedSplit]:
    """A network out of a file of ONNX, or of TorchScript, cut at the layers of ``spec``.

    ``camsbench.models.backends.onnxfile`` says the rest.
    """
    module = importlib.import_module("camsbench.models.backends.onnxfile")  # needs the package onnx
    made: list[ExportedSplit] = module.load_file(compiler(backend), file, spec, options, micro_batch, transform, cache)
    return made


def compiler(backend: str) -> Compile:
    """What makes graphs of files on a backend."""
    compile_graph: Compile = importlib.import_module(f"camsbench.models.backends.{backend}").compile_graph
    return compile_graph


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
