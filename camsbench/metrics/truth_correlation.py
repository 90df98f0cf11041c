"""Does the map rank the places of an image as the evidence does?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from camsbench.core.columns import Column
from camsbench.core.explained import Explained
from camsbench.core.passes import at_least_single
from camsbench.core.saliency import normalise, size_of
from camsbench.core.truth import truth_of
from camsbench.metrics.adcc import correlation

LEVELS = 255  # of a map's range: what no picture of it shows is a tie


@dataclass(frozen=True)
class TruthCorrelation:
    """Spearman's ρ between the raw map and the truth, over the cells of the target layer, in [−1,1].

    The truth is each pixel's share of the evidence, or the object's mask or boxes (``camsbench.core.truth``). Both are
    averaged in the layer's cells: a map of the layer's size stays as it is, and is not blamed for being coarse, which
    ``energy_pointing`` does. Of most images most cells have no evidence at all and are tied; so that rounding breaks no
    tie of the map's, cells that differ by less than 1/255 of its range are tied, too (ties share their mean rank).

    NaN where the map or the truth is alike in all cells, or the truth is not known.

    Raises:
        CamsbenchError: nobody gave truth, boxes or masks.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"boxes"})
    columns: ClassVar[tuple[Column, ...]] = (Column("truth_correlation", "higher", title="Truth"),)

    def __call__(self, explained: Explained) -> dict[str, Tensor]:
        size = size_of(explained.forward.A)
        truth = truth_of(explained.forward)
        found, ideal = (ranks(_in_cells(maps, size)) for maps in (explained.raw, truth))
        known = truth.flatten(1).isfinite().all(1)
        return {"truth_correlation": torch.where(known, correlation(found, ideal), torch.nan).float()}


def ranks(values: Tensor) -> Tensor:
    """Ranks [B,n] of values [B,n], from 1 for the least; ties share their mean rank. In double precision."""
    ordered = values.sort(1).values
    below = torch.searchsorted(ordered, values.contiguous(), side="left")
    up_to = torch.searchsorted(ordered, values.contiguous(), side="right")
    return (below + up_to + 1).double() / 2


def _in_cells(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Levels [B,h·w] of maps [B,h',w'] averaged in the cells of a layer."""
    cells = adaptive_avg_pool2d(at_least_single(maps[:, None]), size)
    return (normalise(cells)[0] * LEVELS).round().flatten(1)
