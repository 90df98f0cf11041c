"""Means of columns and curves over images, of all draws of the images at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


def weighted_means(columns: Sequence[Array], weights: Array) -> list[Array]:
    """The means under weights [R,n] of columns [n], each [R], and of curves [n,m], each [R,m]; NaN weighs nothing."""
    single = iter(_of_columns([column for column in columns if column.ndim == 1], weights).T)
    return [next(single) if column.ndim == 1 else _of_curve(column, weights) for column in columns]


def known(values: Array) -> NDArray[np.bool_]:
    """Which images [n] have a value in a column [n] or a curve [n,m]."""
    finite = np.isfinite(values)
    return finite if finite.ndim == 1 else np.logical_and.reduce(finite, 1)


def only(values: Array, images: NDArray[np.bool_]) -> Array:
    """A column [n] or a curve [n,m] with NaN for all but some ``images`` [n]; itself where no other has a value."""
    if not (known(values) & ~images).any():
        return values
    return np.where(images if values.ndim == 1 else images[:, None], values, np.nan)


def divide(a: Array, b: Array) -> Array:
    """a / b, NaN where b is 0."""
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b > 0)


def _of_columns(columns: Sequence[Array], weights: Array) -> Array:
    """One product of matrices for all of them: [R,C]."""
    if not columns:
        return np.empty((len(weights), 0))
    values = np.stack(columns, 1)
    finite = np.isfinite(values)
    partly = ~finite.all(0)
    counts = np.repeat(weights.sum(1, keepdims=True), len(columns), 1)
    if partly.any():
        counts[:, partly] = weights @ finite[:, partly].astype(float)
    return divide(weights @ np.where(finite, values, 0), counts)


def _of_curve(curve: Array, weights: Array) -> Array:
    images = known(curve)
    return divide(weights @ np.where(images[:, None], curve, 0), (weights @ images)[:, None])
