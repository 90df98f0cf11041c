"""A finished run, read back from its folder."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from camsbench.config.build import build
from camsbench.config.job import Job
from camsbench.errors import CamsbenchError
from camsbench.store.folder import RunFolder
from camsbench.store.maps import MapFolder
from camsbench.store.schema import Task

Row = dict[Hashable, Any]


@dataclass(frozen=True)
class Finished:
    """What pictures of a run need: its objects, built again from its configuration, its rows, curves and maps."""

    path: Path
    job: Job
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, names: Mapping[str, str] | None = None) -> Finished:
        """The run of a folder.

        Args:
            path: the folder.
            names: how a method is called in pictures, where not by its own name.

        Raises:
            CamsbenchError: it is no run's folder, or its data or network are not there any more.
        """
        config = path / "config.yaml"
        if not config.is_file():
            raise CamsbenchError(f"{path} holds no run (there is no config.yaml): give the folder of a finished one")
        loaded = OmegaConf.load(config)
        assert isinstance(loaded, DictConfig)
        return cls(path, build(loaded), names or {})

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.path)

    @property
    def maps(self) -> MapFolder:
        """The kept maps, however many they are."""
        return MapFolder(self.path / "maps", len(self.job.records))

    @cached_property
    def rows(self) -> dict[tuple[str, str, str], Row]:
        """The rows without an error, by image id, layer and method."""
        rows = self.folder.rows()
        good = rows[rows["error"].isna()].to_dict("records")
        return {(row["image_id"], row["layer"], row["method"]): row for row in good}

    @property
    def columns(self) -> dict[Task, str]:
        """For each method (and layer) the title of its column."""
        several = len(self.job.splits) > 1
        tasks = [Task(split.layer, method) for split in self.job.splits for method in self.job.methods]
        said = {task: self.names.get(task.method, task.method) for task in tasks}
        return {task: f"{name}\n{task.layer}" if several else name for task, name in said.items()}

    @property
    def predicted(self) -> dict[str, int]:
        """The predicted class of each image, where the run explains it."""
        if self.job.target != "predicted":
            return {}
        return {image_id: int(row["target"]) for (image_id, *_), row in self.rows.items()}
