"""Rows of a run, made by hand: what the tests of tables have in common."""

from __future__ import annotations

from typing import Any

import pandas as pd


def rows(method: str, model: str = "vgg16", protocol: str = "poppi@1", n: int = 4, **columns: Any) -> pd.DataFrame:
    """Rows of hand-made values: a number a column for all images, or a list."""
    fixed = {
        "model": model, "layer": "last", "method": method, "protocol": protocol, "seed": 0,
        "image_id": [f"image{i}" for i in range(n)], "label": [i % 2 for i in range(n)], "target": 0,
        "probability": 0.5, **columns, "seconds": 0.1, "degenerate": False, "error": None,
    }  # fmt: skip
    return pd.DataFrame(fixed)
