"""What a report is made of: runs and experiments as their folders hold them; no network is built for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from camsbench.config.instantiate import make_metrics
from camsbench.config.job import check_maps
from camsbench.core.columns import Column, all_columns, distinct
from camsbench.errors import CamsbenchError
from camsbench.store.folder import RunFolder
from camsbench.tables.pairs import pairs

EXPERIMENT = "experiment.yaml"  # in the folder of an experiment, beside those of its runs


@dataclass(frozen=True)
class Source:
    """A run: its configuration, the rows that are there, and ``environment.json``."""

    path: Path
    config: DictConfig
    rows: pd.DataFrame
    environment: dict[str, Any]
    known_pairs: pd.DataFrame | None = None
    planned: int | None = None  # images; None: those of the manifest

    @classmethod
    def of(
        cls,
        path: Path,
        rows: pd.DataFrame | None = None,
        known_pairs: pd.DataFrame | None = None,
        planned: int | None = None,
    ) -> Source:
        """The run of a folder, with all of its rows or, where a session chose fewer images, with those of its own.

        Raises:
            CamsbenchError: it has no rows yet.
        """
        environment = json.loads((path / "environment.json").read_text())
        found = RunFolder(path).rows() if rows is None else rows
        return cls(path, _config(path / "config.yaml"), found, environment, known_pairs, planned)

    @cached_property
    def columns(self) -> list[Column]:
        """What the metrics declare of their columns, in the order of the configuration."""
        return distinct(all_columns(make_metrics(self.config)))

    @property
    def pairs(self) -> pd.DataFrame:
        """Each two methods of the run beside each other (``camsbench.tables.pairs``)."""
        return pairs(self.rows, seed=self.seed, declared=self.columns) if self.known_pairs is None else self.known_pairs

    @property
    def expected(self) -> int:
        """The rows that the run has when it is finished: a row an image, layer and method."""
        images = self.planned
        if images is None:
            images = len(pd.read_csv(self.path / "manifest.csv", usecols=["image_id"]))
        layers = max(1, self.rows["layer"].nunique())
        return layers * sum(min(images, self.config.limits.get(name, images)) for name in self.config.method)

    @property
    def seed(self) -> int:
        return int(self.config.seed)


@dataclass(frozen=True)
class Experiment:
    """The runs of a published table or figure, with its configuration."""

    path: Path
    config: DictConfig
    runs: list[Source]


@dataclass(frozen=True)
class Found:
    """What the folders of a report hold: all runs, each once, and the experiments that some of them belong to."""

    runs: list[Source]
    experiments: list[Experiment]

    @property
    def maps(self) -> int | str:
        """What the first run was asked for with ``report.maps``."""
        asked = self.runs[0].config.get("report")
        return check_maps(asked.maps) if asked is not None else 0


def find(folders: Sequence[Path]) -> Found:
    """The runs in these folders, each of which holds a run or the runs of an experiment.

    Raises:
        CamsbenchError: a folder holds neither.
    """
    runs: dict[Path, Source] = {}
    experiments = []
    for folder in folders:
        if (folder / "config.yaml").is_file() and (folder / "environment.json").is_file():
            runs.setdefault(folder.resolve(), Source.of(folder))
            continue
        below = sorted(path.parent for path in folder.glob("*/environment.json") if any(path.parent.glob("rows/*")))
        if not below:
            raise CamsbenchError(
                f"{folder} holds no run (no config.yaml and environment.json, nor folders that have them): give the "
                "folder that output= named, or that the run printed"
            )
        inner = [runs.setdefault(path.resolve(), Source.of(path)) for path in below]
        if (folder / EXPERIMENT).is_file():
            experiments.append(Experiment(folder, _config(folder / EXPERIMENT), inner))
    return Found(list(runs.values()), experiments)


def _config(path: Path) -> DictConfig:
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    return loaded
