"""A run, read back from its folder."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from camsbench.config.build import build
from camsbench.config.instantiate import make_methods, make_metrics
from camsbench.config.job import Job
from camsbench.core.columns import Column, all_columns, curves_of, merge_columns
from camsbench.data.classes import Classes
from camsbench.errors import CamsbenchError
from camsbench.run.identity import identity
from camsbench.store import manifest
from camsbench.store.folder import RunFolder
from camsbench.store.maps import MapFolder
from camsbench.store.schema import Task
from camsbench.tables.pairs import pairs
from camsbench.tables.reliability.controls import controls_of
from camsbench.tables.reliability.metric import Reliability, reliability

Row = dict[Hashable, Any]


@dataclass(frozen=True)
class SavedRun:
    """A run's configuration and rows, and what else its folder holds; network and data are built when ``job`` is asked.

    Args:
        path: the folder.
        config: ``config.yaml``.
        rows: those that are there, or those of a session that chose fewer images.
        names: how a method or network is called in pictures, where not by its own name.
        planned: images of the session; None: those of the manifest.
        known_pairs, known_reliability: ``pairs`` and ``reliability``, where the session has them already.
        built: ``job``, where the session has it already.
    """

    path: Path
    config: DictConfig
    rows: pd.DataFrame
    names: Mapping[str, str] = field(default_factory=dict)
    planned: int | None = None
    known_pairs: pd.DataFrame | None = None
    known_reliability: Sequence[Reliability] | None = None
    built: Job | None = field(default=None, repr=False)

    @classmethod
    def load(cls, path: Path, rows: pd.DataFrame | None = None, **known: Any) -> SavedRun:
        """The run of a folder, with all of its rows where none are given.

        Args:
            path: the folder.
            rows: those of a session.
            known: further fields.

        Raises:
            CamsbenchError: it is no run's folder, or has no rows yet.
        """
        if not (path / "config.yaml").is_file():
            raise CamsbenchError(f"{path} holds no run (there is no config.yaml): give the folder of a finished one")
        config = load_config(path / "config.yaml")
        if rows is None:
            rows = RunFolder(path).rows(curves_of(_columns(config)))
        return cls(path, config, rows, **known)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def seed(self) -> int:
        return int(self.config.seed)

    @cached_property
    def environment(self) -> dict[str, Any]:
        """``environment.json``: ``identity``, what the run chose, and ``sessions``, who ran it with what."""
        return json.loads((self.path / "environment.json").read_text())

    @property
    def identity(self) -> dict[str, Any]:
        return self.environment["identity"]

    @property
    def sessions(self) -> list[dict[str, Any]]:
        return self.environment["sessions"]

    @property
    def classes(self) -> Classes | None:
        """What its network calls its classes; None where the run did not write it down."""
        said = self.sessions[-1].get("classes")
        return None if said is None else Classes(said["count"], tuple(said["names"]))

    @cached_property
    def columns(self) -> list[Column]:
        """What the metrics declare of their columns, in the order of the configuration."""
        return _columns(self.config)

    @property
    def pairs(self) -> pd.DataFrame:
        """Each two methods of the run beside each other (``camsbench.tables.pairs``)."""
        if self.known_pairs is not None:
            return self.known_pairs
        return pairs(self.rows, seed=self.seed, declared=self.columns)

    @property
    def reliability(self) -> Sequence[Reliability]:
        """How far each metric can be trusted to order the methods (``camsbench.tables.reliability``)."""
        if self.known_reliability is not None:
            return self.known_reliability
        return reliability(self.rows, self.columns, controls_of(make_methods(self.config)), self.seed)

    @property
    def expected_rows(self) -> int:
        """The rows that the run has when it is finished: a row an image, layer and method."""
        images = self.planned
        if images is None:
            images = len(manifest.read(self.path / manifest.NAME))
        layers = max(1, self.rows["layer"].nunique())
        return layers * sum(min(images, self.config.limits.get(name, images)) for name in self.config.method)

    @cached_property
    def good_rows(self) -> dict[tuple[str, str, str], Row]:
        """The rows without an error, by image id, layer and method."""
        good = self.rows[self.rows["error"].isna()].to_dict("records")
        return {(row["image_id"], row["layer"], row["method"]): row for row in good}

    @property
    def predicted(self) -> dict[str, int]:
        """The predicted class of each image, where the run explains it."""
        if self.job.target != "predicted":
            return {}
        return {image_id: int(row["target"]) for (image_id, *_), row in self.good_rows.items()}

    @cached_property
    def job(self) -> Job:
        """Its objects, built again from its configuration.

        Raises:
            CamsbenchError: its data or network are not there any more, or others are there in their place.
        """
        if self.built is not None:
            return self.built
        job = build(self.config)
        self.folder.refuse_others(identity(job), job.source)
        return job

    @property
    def maps(self) -> MapFolder:
        """The kept maps, however many they are."""
        return MapFolder(self.path / "maps", len(self.job.records))

    @property
    def titles(self) -> dict[Task, str]:
        """What stands above the maps of each method (and layer)."""
        several = len(self.job.splits) > 1
        tasks = [Task(split.layer, method) for split in self.job.splits for method in self.job.methods]
        names = {task: self.names.get(task.method, task.method) for task in tasks}
        return {task: f"{name}\n{task.layer}" if several else name for task, name in names.items()}


def _columns(config: DictConfig) -> list[Column]:
    return merge_columns(all_columns(make_metrics(config)))


def load_config(path: Path) -> DictConfig:
    """A configuration as it was written."""
    loaded = OmegaConf.load(path)
    assert isinstance(loaded, DictConfig)
    return loaded
