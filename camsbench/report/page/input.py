"""What a report is made of: the runs and experiments in some folders; no network is built for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from camsbench.config.job import check_maps
from camsbench.errors import CamsbenchError
from camsbench.report.saved_run import SavedRun, load_config

EXPERIMENT = "experiment.yaml"  # in the folder of an experiment, beside those of its runs


@dataclass(frozen=True)
class Experiment:
    """The runs of a published table or figure, with its configuration."""

    path: Path
    config: DictConfig
    runs: list[SavedRun]


@dataclass(frozen=True)
class ReportInput:
    """What the folders of a report hold: all runs, each once, and the experiments that some of them belong to."""

    runs: list[SavedRun]
    experiments: list[Experiment]

    @property
    def maps(self) -> int | str:
        """What the first run was asked for with ``report.maps``."""
        asked = self.runs[0].config.get("report")
        return check_maps(asked.maps) if asked is not None else 0


def find(folders: Sequence[Path]) -> ReportInput:
    """The runs in these folders, each of which holds a run or the runs of an experiment.

    Raises:
        CamsbenchError: a folder holds neither.
    """
    runs: dict[Path, SavedRun] = {}
    experiments = []
    for folder in folders:
        if (folder / "config.yaml").is_file() and (folder / "environment.json").is_file():
            runs.setdefault(folder.resolve(), SavedRun.load(folder))
            continue
        below = sorted(path.parent for path in folder.glob("*/environment.json") if any(path.parent.glob("rows/*")))
        if not below:
            raise CamsbenchError(
                f"{folder} holds no run (no config.yaml and environment.json, nor folders that have them): give the "
                "folder that output= named, or that the run printed"
            )
        inner = [runs.setdefault(path.resolve(), SavedRun.load(path)) for path in below]
        if (folder / EXPERIMENT).is_file():
            experiments.append(Experiment(folder, load_config(folder / EXPERIMENT), inner))
    return ReportInput(list(runs.values()), experiments)
