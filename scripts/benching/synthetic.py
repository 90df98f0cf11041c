"""A run folder as large as ILSVRC2012's, of random rows: for what depends on their number only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import OmegaConf

from camsbench.config.compose import compose_config
from camsbench.store.folder import RunFolder

METHODS = ("gradcam", "gradcampp", "smoothgradcampp", "scorecam", "reciprocam")
METRICS = ("drop", "increase", "deletion", "insertion", "coherency", "complexity", "adcc")
BLOCK = 16
STEPS = 29  # values of a curve

Row = dict[str, Any]


def synthetic(path: Path, images: int, methods: int) -> Path:
    """Write rows and curves of ``images`` under the first ``methods`` of ``METHODS``."""
    chosen = METHODS[:methods]
    config = compose_config(
        [f"method=[{','.join(chosen)}]", f"metric=[{','.join(METRICS)}]", "data=ilsvrc2012", "data.root=/nowhere"]
    )
    folder, random = RunFolder(path), np.random.default_rng(0)
    (path / "rows").mkdir(parents=True)
    folder.write_text("config.yaml", OmegaConf.to_yaml(config, resolve=True))
    session = {"camsbench": "synthetic", "packages": {}, "device": "none", "started": "never"}
    folder.write_text("environment.json", json.dumps({"identity": {"synthetic": True}, "sessions": [session]}))
    labels = random.integers(1000, size=images)
    names = [f"ILSVRC2012_val_{i + 1:08d}" for i in range(images)]
    folder.write_text("manifest.csv", pd.DataFrame({"image_id": names, "label": labels}).to_csv(index=False))
    for block in range(0, images, BLOCK):
        rows: list[Row] = []
        curves: list[Row] = []
        for image in range(block, min(block + BLOCK, images)):
            _draw(random, names[image], int(labels[image]), chosen, rows, curves)
        folder.write_part(rows, METRICS, curves, block // BLOCK)
    return path


def _draw(
    random: np.random.Generator, name: str, label: int, methods: Sequence[str], rows: list[Row], curves: list[Row]
) -> None:
    """The rows and curves of an image: some images are harder than others, and some methods a little better."""
    head = {"model": "resnet50", "layer": "layer4", "protocol": "rise@1", "seed": 0, "image_id": name}
    target = label if random.random() < 0.76 else int(random.integers(1000))
    own = {"label": label, "target": target, "probability": float(random.beta(4, 1)), "degenerate": False}
    difficulty = random.random()
    for place, method in enumerate(methods):
        values = np.clip(0.6 * difficulty + 0.4 * random.random(len(METRICS)) - 0.02 * place, 0, 1)
        scores = dict(zip(METRICS, map(float, values), strict=True)) | {"increase": float(values[1] > 0.7)}
        rows.append(head | own | scores | {"method": method, "seconds": 0.01 * (place + 1)})
        for curve, y in zip(("insertion", "deletion"), np.sort(random.random((2, STEPS)), 1), strict=True):
            falling = curve == "deletion"
            curves.append(
                head | {"method": method, "curve": f"{curve}_curve", "y": (y[::-1] if falling else y).tolist()}
            )
