"""ReciproCAM: on each backend, against openvino-xai, and on a VGG head against passing every cell."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benching.elsewhere import Elsewhere
from benching.methods import bare, ours
from benching.subjects import BACKENDS, Bench, network, pictures, targets
from benching.timing import Contender, Row, measure
from camsbench.core import scoring
from camsbench.core.passes import MicroBatch
from camsbench.methods.reciprocam import ReciproCAM
from camsbench.models.backends.export import Export

WORKER = Path(__file__).parent / "ovx_worker.py"


class OpenVINOXAI(Elsewhere):
    """openvino-xai in the environment that it needs; orders are such as ``explain 16 fp32``."""

    def __init__(self, python: Path, folder: Path, x: Tensor, target: list[int]) -> None:
        np.save(folder / "x.npy", x.contiguous().numpy())
        self.maps_file = folder / "maps.npy"
        whole = Export.of(network()).whole()
        super().__init__([python, WORKER, whole, folder / "x.npy", json.dumps(target), self.maps_file], "openvino-xai")

    def maps(self) -> Tensor:
        """Maps [N,h,w] of the last ``explain``."""
        return torch.from_numpy(np.load(self.maps_file).astype(np.float32))


@contextmanager
def openvino_xai(bench: Bench, x: Tensor, target: list[int]) -> Iterator[OpenVINOXAI | None]:
    """The peer, or None where no environment of its own is named."""
    if bench.openvino_xai_python is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        peer = OpenVINOXAI(bench.openvino_xai_python, Path(folder), x, target)
        try:
            yield peer
        finally:
            peer.close()


def reciprocam(bench: Bench) -> list[Row]:
    """Batches of 1 and 16 on each backend, on logits as openvino-xai scores; the reference is OpenVINO's."""
    rows: list[Row] = []
    for n in (1, 2 if bench.smoke else 16):
        x, target = pictures(n), targets(n)
        with openvino_xai(bench, x, target) as peer:
            method = ReciproCAM(score="logit")
            first = ours(method, "openvino", x, target)
            rest = [ours(method, backend, x, target, first.name) for backend in BACKENDS if backend != "openvino"]
            contenders = [first, *rest, bare("openvino", x), *theirs(peer, n, first.name)]
            rows += measure("reciprocam", f"batch {n}", n, contenders, bench.times(31), bench.budget / 2)
    return rows


def theirs(peer: OpenVINOXAI | None, n: int, twin: str) -> list[Contender]:
    """openvino-xai's ReciproCAM and its bare passes, in the precision that it takes and in fp32."""
    if peer is None:
        return []
    version, precision = peer.about
    note = f"OpenVINO {version}, one image a call"
    made = []
    for how, said in (("", f"as it comes ({precision})"), (" fp32", "fp32")):
        explain, pass_only = partial(peer, f"explain {n}{how}"), partial(peer, f"bare {n}{how}")
        made.append(Contender(f"bare forward, openvino-xai, {said}", lambda: None, seconds=pass_only, note=note))
        made.append(Contender(f"openvino-xai, {said}", peer.maps, None, twin, explain, note))
    return made


def vgg(bench: Bench) -> list[Row]:
    """VGG16's 196 cells, the activations given: slices of the first linear layer, or a pass of the head a cell."""
    images = 1
    split = network("vgg16")
    method = ReciproCAM()
    at_once = replace(split, micro_batch=MicroBatch(196))
    forward = scoring.forward(split, pictures(images, "vgg16"), None, (0,) * images)

    contenders = [
        Contender("camsbench, torch", partial(method, split, forward), split),
        Contender("a pass a cell, all 196 at once", partial(method, at_once.plain, forward), split, "camsbench, torch"),
        Contender("a pass a cell, micro-batches", partial(method, split.plain, forward), split, "camsbench, torch"),
    ]
    return measure("vgg", "vgg16, features.29", images, contenders, bench.times(15), bench.budget)
