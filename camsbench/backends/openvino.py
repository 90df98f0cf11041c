"""Graphs on OpenVINO."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import openvino
import torch
from torch import Tensor

from camsbench.backends.exported import Graph
from camsbench.backends.threads import rest

LARGEST = 8  # images a request: more of them fall out of the processor's caches


def compile_graph(path: Path) -> Graph:
    """The graph of a file, float32, on as many threads as PyTorch has."""
    return OpenVINOGraph(path)


class OpenVINOGraph:
    """Two ways through one graph, the faster one for the batch at hand.

    One image goes through a graph of static shape with all threads at once. More are dealt out evenly to one stream a
    thread, in requests of at most 8: threads that work on images of their own need not wait for each other.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.core = openvino.Core()

    def __call__(self, x: Tensor) -> Tensor:
        source = x.contiguous().numpy()
        rest()
        if len(source) == 1:
            self._one.infer([source], share_inputs=True)
            return torch.from_numpy(self._one.get_output_tensor().data.copy())  # the request's own memory: it is reused
        size = min(LARGEST, -(-len(source) // len(self._many)))
        parts: list[Any] = [None] * -(-len(source) // size)
        self._many.set_callback(lambda request, part: parts.__setitem__(part, _result(request)))
        for part in range(len(parts)):
            self._many.start_async([source[part * size : (part + 1) * size]], part, share_inputs=True)
        self._many.wait_all()
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    @cached_property
    def _one(self) -> openvino.InferRequest:
        model = self.core.read_model(self.path)
        model.reshape([1, *(size.get_length() for size in list(model.input().partial_shape)[1:])])
        return self._compile(model, "LATENCY").create_infer_request()

    @cached_property
    def _many(self) -> openvino.AsyncInferQueue:
        return openvino.AsyncInferQueue(self._compile(self.core.read_model(self.path), "THROUGHPUT"))

    def _compile(self, model: openvino.Model, hint: str) -> openvino.CompiledModel:
        options = {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "f32",  # its default is bf16 where the processor has it
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        return self.core.compile_model(model, "CPU", options)


def _result(request: openvino.InferRequest) -> Tensor:
    return torch.from_numpy(request.get_output_tensor().data.copy())
