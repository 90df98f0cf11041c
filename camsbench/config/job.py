"""What a run needs, checked and built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from camsbench.config.maps_option import first_images
from camsbench.config.runtime import Runtime
from camsbench.core.columns import Column, all_columns, merge_columns
from camsbench.core.explained import Metric
from camsbench.core.saliency import SaliencyRule
from camsbench.core.types import Explainer
from camsbench.data.record import Record
from camsbench.models.backends.exported import ExportedSplit
from camsbench.models.split import TorchSplit
from camsbench.models.weights import is_path


@dataclass(frozen=True)
class Job:
    """Everything that a run needs; ``camsbench.config.build`` makes it."""

    config: DictConfig
    splits: Sequence[TorchSplit | ExportedSplit]  # one a layer
    records: list[Record]
    methods: dict[str, Explainer]
    metrics: dict[str, Metric]
    limits: dict[str, int]
    rule: SaliencyRule
    target: str | int
    protocol: str  # name@version
    seed: int
    gallery: int
    runtime: Runtime

    @property
    def split(self) -> TorchSplit | ExportedSplit:
        """The network, whatever the layer."""
        return self.splits[0]

    @property
    def maps_kept(self) -> int:
        """The first images of the run whose maps are saved while it goes on: for the gallery, for the report."""
        asked = self.config.get("report")
        shown = first_images(asked.maps, len(self.records)) if asked is not None else 0
        return max(self.gallery, shown)

    @property
    def columns(self) -> list[Column]:
        """What the metrics declare of their columns, in the order of the configuration."""
        return merge_columns(all_columns(self.metrics))

    @property
    def published_top1(self) -> float | None:
        """See ``published_top1``."""
        return published_top1(self.config)


def published_top1(cfg: DictConfig) -> float | None:
    """The network's published accuracy in percent, where its published weights and preprocessing are used."""
    weights, changed = str(cfg.model.weights), cfg.protocol.resize is not None
    own = weights != "random" and not is_path(weights) and not changed
    return cfg.model.top1 if own else None
