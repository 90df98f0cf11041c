"""Saliency maps of the first images of a run, kept as small grey pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from camsbench.data.record import Record
from camsbench.files import publish
from camsbench.store.schema import Task


class MapFolder:
    """``maps/LAYER/METHOD/IMAGE.png``: 8-bit saliency of the images whose place in the run is below ``count``."""

    def __init__(self, path: Path, count: int) -> None:
        self.path = path
        self.count = count

    def wanted(self, places: Sequence[int], saliency: Tensor) -> dict[int, np.ndarray]:
        """Those of ``saliency`` [B,1,H,W] that are asked for, by place, as grey pictures [H,W]."""
        chosen = [i for i, place in enumerate(places) if place < self.count]
        if not chosen:
            return {}
        grey = (saliency[chosen, 0].clamp(0, 1) * 255).round().byte().cpu().numpy()
        return {places[i]: pixels for i, pixels in zip(chosen, grey, strict=True)}

    def save(self, task: Task, record: Record, grey: np.ndarray) -> None:
        """Keep a grey picture [H,W]."""
        path = self._path(task, record)
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, lambda temporary: Image.fromarray(grey).save(temporary, format="PNG"))

    def load(self, task: Task, record: Record) -> np.ndarray | None:
        """A kept saliency [H,W] in [0,1]; None where there is none."""
        path = self._path(task, record)
        return np.asarray(Image.open(path)) / 255 if path.is_file() else None

    def _path(self, task: Task, record: Record) -> Path:
        return self.path / task.layer / task.method / f"{record.image_id.replace('/', '__')}.png"
