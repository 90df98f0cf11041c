"""What a run is, in a line, and what a reader of its numbers must know."""

from __future__ import annotations

import pandas as pd
from omegaconf import DictConfig

from camsbench.config.job import published_top1


def heading(cfg: DictConfig, rows: pd.DataFrame) -> str:
    """Network, layers, images, protocol and, where the predicted class is explained, the accuracy."""
    images = rows[rows["error"].isna()].drop_duplicates("image_id")
    layers = ", ".join(dict.fromkeys(rows["layer"]))
    protocol = f"{cfg.protocol.name}@{cfg.protocol.version}"
    untrained = " with random weights" if cfg.model.weights == "random" else ""
    said = f"{rows['model'].iloc[0]}{untrained} at {layers}, {len(images):,} images of {cfg.data.name}, {protocol}"
    if cfg.target == "predicted" and len(images):
        top1, published = 100 * (images["label"] == images["target"]).mean(), published_top1(cfg)
        said += f", top-1 {top1:.1f} %" + (f" (published {published} %)" if published else "")
    return said
