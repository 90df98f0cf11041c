"""Networks in double precision, where what rounding does is far below what a wrong term would do.

Single precision rounds otherwise on other processors and for other batch sizes, and poles and kinks magnify that:
there no bound tells a fault from rounding. A comparison of two ways to compute one thing is made here.
"""

from __future__ import annotations

import copy

from camsbench.models.split import TorchSplit, cut

EXACT = 1e-9


def in_double(split: TorchSplit, layer: str | None = None) -> TorchSplit:
    """The same network, cut behind the same layer or behind ``layer``."""
    model = copy.deepcopy(split.model).double()
    return cut(model, layer or split.layer, split.preprocess, name=split.name, micro_batch=split.micro_batch)
