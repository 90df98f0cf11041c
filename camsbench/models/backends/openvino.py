"""Graphs on OpenVINO."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import openvino
import torch
from torch import Tensor

from camsbench.core.process import pause_threads
from camsbench.errors import CamsbenchError
from camsbench.models.backends.exported import Graph

LARGEST = 8  # images a request: more of them fall out of the processor's caches
LIGHT = 32 * 2**20  # bytes of a network that a cache holds, so that each image may read all of it


def compile_graph(path: Path, dtype: torch.dtype = torch.float32) -> Graph:
    """The graph of a file on as many threads as PyTorch has.

    Raises:
        CamsbenchError: bf16 on a processor without it, where OpenVINO would take float32 and say nothing.
    """
    if dtype == torch.bfloat16 and not knows_bf16():
        raise CamsbenchError("runtime.precision=bf16: OpenVINO finds no bf16 in this processor; use fp32")
    return OpenVINOGraph(path, dtype)


def knows_bf16() -> bool:
    """Whether OpenVINO calculates in bf16 on this processor."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINOGraph:
    """Two ways through one graph, the faster one for the batch at hand.

    One image goes through a graph of static shape with all threads at once. More are dealt out to one stream a thread:
    threads that work on images of their own need not wait for each other. A light network takes them one by one, in
    the static shape, which OpenVINO makes a quarter faster than an open one; a heavy one, or a head, whose pass takes
    less than its call, takes requests of at most 8.
    """

    def __init__(self, path: Path, dtype: torch.dtype = torch.float32) -> None:
        self.path = path
        self.hint = {torch.float32: "f32", torch.bfloat16: "bf16"}[dtype]  # its default is bf16 where there is any
        self.core = openvino.Core()
        graph = self.core.read_model(path)
        self.singly = path.stat().st_size <= LIGHT and _lengths(graph.input())[0] == 3  # images, not activations
        self.result = _lengths(graph.output())

    def __call__(self, x: Tensor) -> Tensor:
        source = x.contiguous().numpy()
        pause_threads()
        if len(source) == 1:
            self._one.infer([source], share_inputs=True)
            return torch.from_numpy(self._one.get_output_tensor().data.copy())  # the request's own memory: it is reused
        size = 1 if self.singly else min(LARGEST, -(-len(source) // len(self._many)))
        found = np.empty((len(source), *self.result), np.float32)
        self._many.set_callback(lambda request, part: np.copyto(found[part], request.get_output_tensor().data))
        for start in range(0, len(source), size):
            part = slice(start, start + size)
            self._many.start_async([source[part]], part, share_inputs=True)
        self._many.wait_all()
        return torch.from_numpy(found)

    @cached_property
    def _one(self) -> openvino.InferRequest:
        return self._compile(1, "LATENCY").create_infer_request()

    @cached_property
    def _many(self) -> openvino.AsyncInferQueue:
        return openvino.AsyncInferQueue(self._compile(1 if self.singly else None, "THROUGHPUT"))

    def _compile(self, images: int | None, hint: str) -> openvino.CompiledModel:
        """The graph for this number of images; None: any."""
        model = self.core.read_model(self.path)
        if images is not None:
            model.reshape([images, *_lengths(model.input())])
        options = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": self.hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return self.core.compile_model(model, "CPU", options)


def _lengths(port: openvino.Output) -> list[int]:
    """Sizes of what goes in or out, without the batch's."""
    return [size.get_length() for size in list(port.partial_shape)[1:]]
