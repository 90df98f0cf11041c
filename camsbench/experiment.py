"""A table or a figure of a paper: its cells, run one after another, and what is made of them together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from camsbench import session, tables
from camsbench.config.build import network_name
from camsbench.config.compose import add_controls
from camsbench.config.suggest import compose_or_suggest
from camsbench.core.columns import merge_columns
from camsbench.errors import CamsbenchError
from camsbench.files import write_text
from camsbench.report import figures, page, papertable
from camsbench.report.saved_run import SavedRun
from camsbench.session import Outcome

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: a network under a protocol, with the methods that the experiment gives it there."""

    name: str  # such as resnet50-poppi, the name of its folder
    config: DictConfig


def folder(cfg: DictConfig) -> Path:
    """Where an experiment's runs and its table lie: ``output``, or its name under ``results/``."""
    if cfg.output:
        return Path(cfg.output).expanduser()
    return Path("results/smoke" if cfg.smoke else "results") / str(cfg.name)


def cells(cfg: DictConfig, overrides: Sequence[str]) -> list[Cell]:
    """The runs of an experiment, from its YAML's ``cells`` and what the user chose on top of it.

    A cell is a list of overrides. What the user gives (``overrides``, with ``experiment=NAME`` among them) selects the
    cells that make this very choice; where none does, it takes the place of theirs in all of them, and of the settings
    below it: ``model=resnet50`` leaves the cells of one network, ``protocol=rise`` runs all of them under another
    protocol. Cells that become the same run once.

    Raises:
        CamsbenchError: the experiment has no such cells, or an override does not fit one of them.
    """
    kind = "smoke" if cfg.smoke else "full"
    listed = (cfg.cells or {}).get(kind)
    if not listed:
        raise CamsbenchError(f"smoke={str(cfg.smoke).lower()}: this experiment has no {kind} cells")
    user, found = _by_key(overrides), [_by_key(cell) for cell in listed]
    for key, line in user.items():
        made = [cell for cell in found if cell.get(key) == line]
        found = made or [{k: v for k, v in cell.items() if not k.startswith(f"{key}.")} for cell in found]
    distinct = dict.fromkeys(tuple({**cell, **user}.values()) for cell in found)
    return _named([_compose(lines) for lines in distinct], folder(cfg))


def execute(cfg: DictConfig, overrides: Sequence[str]) -> Outcome:
    """Run every cell, or go on with it, then make the experiment's table and figure.

    A cell that fails is reported and the others go on.

    Raises:
        CamsbenchError: all cells failed.
    """
    planned = cells(cfg, overrides)
    if cfg.figure is not None:
        figures.kind_of(cfg.figure)  # refused before any work
    done: list[Outcome] = []
    failed: dict[str, list[str]] = {}
    for number, cell in enumerate(planned, 1):
        log.warning("cell %d of %d: %s", number, len(planned), cell.name)
        try:
            done.append(session.execute(cell.config))
        except CamsbenchError as error:
            failed.setdefault(str(error), []).append(cell.name)
    said = [f"{error} ({', '.join(names)})" for error, names in failed.items()]
    if not done:
        raise CamsbenchError("; ".join(said))
    for sentence in said:
        log.error("%s", sentence)
    top = folder(cfg)
    rows = pd.concat([outcome.rows for outcome in done], ignore_index=True)
    report = "\n".join(outcome.report for outcome in done)
    if cfg.table is not None:
        report = papertable.write(cfg, done, top)
    if cfg.figure is not None:
        figures.draw(cfg.figure, top / "figure.png", [outcome.path for outcome in done])
    if cfg.report.html:
        _write_page(cfg, done, top)
    errors = sum(outcome.errors for outcome in done)
    declared = merge_columns(column for outcome in done for column in outcome.columns)
    summary = tables.summarise(rows, declared)
    return Outcome(top, cfg, rows, summary, report, errors, failed=sum(map(len, failed.values())), columns=declared)


def _write_page(cfg: DictConfig, done: Sequence[Outcome], top: Path) -> None:
    """The report of all runs, with the table beside them; ``experiment.yaml`` lets it be written anew."""
    own = OmegaConf.masked_copy(cfg, ["name", "smoke", "seed", "table", "figure"])
    write_text(top / page.EXPERIMENT, OmegaConf.to_yaml(own))
    runs = [SavedRun.load(outcome.path, outcome.rows) for outcome in done]
    found = page.ReportInput(runs, [page.Experiment(top, own, runs)])
    page.write(found, top / "report.html", found.maps)


def _by_key(overrides: Iterable[str | Sequence[str]]) -> dict[str, str]:
    """Overrides by what they set; the last one wins. One may be a list of them: another cell's, by a YAML anchor."""
    flat = [line for one in overrides for line in ([one] if isinstance(one, str) else one)]
    parsed = OverridesParser.create().parse_overrides(flat)
    return {override.key_or_group: str(override.input_line) for override in parsed}


def _compose(overrides: Sequence[str]) -> DictConfig:
    cfg = compose_or_suggest(overrides)
    cfg.cells = None
    cfg.report.html = False  # the experiment writes one of all its runs
    return add_controls(cfg) if cfg.controls else cfg


def _named(configs: list[DictConfig], top: Path) -> list[Cell]:
    """Each configuration with a name of its own and its folder below ``top``."""
    made: dict[str, Cell] = {}
    for cfg in configs:
        plain = name = f"{network_name(cfg.model)}-{cfg.protocol.name}"
        number = 2
        while name in made:
            name, number = f"{plain}-{number}", number + 1
        cfg.output = str(top / name)
        made[name] = Cell(name, cfg)
    return list(made.values())
