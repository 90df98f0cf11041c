"""A split as ONNX graphs on disk: features, head and the whole network, each exported once."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

from camsbench.core.preprocess import Preprocess
from camsbench.core.types import Split
from camsbench.errors import CamsbenchError
from camsbench.files import user_cache
from camsbench.models.backends.exported import pack, unpack
from camsbench.models.split import TorchSplit

LAYOUT = 3  # raise it when what is exported changes
TOLERANCE = 1e-4  # of the largest value: other kernels round otherwise, by about 1e-6


@dataclass(frozen=True)
class Export:
    """The ONNX files of a split in a folder of their own; each has one input ``x`` [batch,...] and one output ``y``.

    Where something passes beside the activations, it is packed behind them in one row [batch,...] an image.
    """

    split: TorchSplit
    folder: Path

    @classmethod
    def of(cls, split: TorchSplit, cache: Path | None = None) -> Export:
        """The files' place in ``cache``: keyed on weights, both graphs, the image's size and the exporter's version."""
        exporter = [f"{name} {version(name)}" for name in ("torch", "onnx", "onnxscript")]
        graphs = [re.sub("0x[0-9a-f]+", "", str(part)) for part in (split.features_graph, split.head_graph)]
        key = "\n".join([str(LAYOUT), split.weight_hash, str(split.preprocess.shape), *exporter, *graphs])
        name = f"{readable(f'{split.name}-{split.layer}')}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
        return cls(split, (cache or user_cache()) / name)

    def features(self) -> Path:
        """x [B,3,H,W] -> A [B,K,h,w], or what ``Split.parts`` gives, packed."""
        part = self.split.features_graph
        packing = part if len(self.shapes) == 1 else _Packing(part).eval()
        return self._written("features", lambda path: self._export(packing, self._x, path))

    def head(self) -> Path:
        """What ``features`` gives -> logits [B,C]."""

        def export(path: Path) -> None:
            with torch.no_grad():
                packed = pack(self.split.parts(self._x))
            part = self.split.head_graph
            self._export(part if len(self.shapes) == 1 else _Unpacking(part, self.shapes).eval(), packed, path)

        return self._written("head", export)

    def whole(self) -> Path:
        """x [B,3,H,W] -> logits [B,C]: the other two, joined."""
        return self._written("whole", lambda path: _join(self.features(), self.head(), path))

    @cached_property
    def shapes(self) -> tuple[torch.Size, ...]:
        """Those of one image's ``Split.parts``."""
        with torch.no_grad():
            return tuple(part.shape[1:] for part in self.split.parts(self._x))

    @property
    def _x(self) -> Tensor:
        return noise(2, self.split.preprocess)  # two images: an exporter may take a batch of one for a constant

    def _written(self, part: str, write: Callable[[Path], None]) -> Path:
        return written(self.folder / f"{part}.onnx", write)

    def _export(self, module: nn.Module, example: Tensor, path: Path) -> None:
        try:
            torch.onnx.export(
                module,
                (example,),
                path,
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=["x"],
                output_names=["y"],
                external_data=False,
                verbose=False,
            )
        except Exception as error:  # the exporter raises many kinds
            raise CamsbenchError(
                f"{self.split.name} at layer '{self.split.layer}' cannot be exported to ONNX "
                f"({type(error).__name__}: {str(error).strip().splitlines()[0]}): use runtime.backend=torch"
            ) from error


class _Packing(nn.Module):
    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        return pack(self.part(x))


class _Unpacking(nn.Module):
    def __init__(self, part: nn.Module, shapes: tuple[torch.Size, ...]) -> None:
        super().__init__()
        self.part, self.shapes = part, shapes

    def forward(self, packed: Tensor) -> Tensor:
        out: Tensor = self.part(*unpack(packed, self.shapes))
        return out


def readable(name: str) -> str:
    """A name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def written(path: Path, write: Callable[[Path], object]) -> Path:
    """``path``, written now where it was not."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            write(unfinished)
            unfinished.replace(path)  # whole or not at all, whoever else writes it
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def _join(features: Path, head: Path, path: Path) -> None:
    import onnx
    import onnx.compose

    first = onnx.compose.add_prefix(onnx.load(features), "features/", rename_inputs=False)
    second = onnx.compose.add_prefix(onnx.load(head), "head/", rename_outputs=False)
    joined = onnx.compose.merge_models(first, second, io_map=[("features/y", "head/x")])
    onnx.save(joined, path)


def noise(images: int, preprocess: Preprocess) -> Tensor:
    """Seeded images [B,C,H,W] of noise, of a network's input."""
    return torch.randn(images, *preprocess.shape, generator=torch.Generator().manual_seed(images))


def agreement(split: TorchSplit, exported: Split, option: str) -> None:
    """Compare the three calls of two splits at batches of 1 and 3 images; they may differ by 1e-4 of the largest value.

    Raises:
        CamsbenchError: they differ by more.
    """
    for images in (1, 3):
        x = noise(images, split.preprocess)
        parts = split.parts(x)
        logits = split.head(*parts)
        pairs = {
            "features": (pack(exported.parts(x)), pack(parts)),
            "head": (exported.head(*parts), logits),
            "whole network": (exported.logits(x), logits),
        }
        for part, (theirs, ours) in pairs.items():
            difference, largest = (theirs - ours).abs().max(), ours.abs().max()
            if not difference <= TOLERANCE * largest:  # also where it is NaN
                raise CamsbenchError(
                    f"{option}: the exported {part} of {split.name} at layer '{split.layer}' differs from PyTorch by "
                    f"{difference:.2g} (largest value {largest:.2g}): use runtime.backend=torch"
                )
