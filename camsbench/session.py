"""One command of a user: open the run folder, run what is pending, summarise, draw."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from camsbench import identity, tables
from camsbench.accounting import Account
from camsbench.allocator import keep_freed_memory
from camsbench.config import build
from camsbench.controls import with_controls
from camsbench.errors import CamsbenchError
from camsbench.job import Job
from camsbench.labelcheck import agreement, refuse_wrong
from camsbench.pending import Task
from camsbench.report import gallery
from camsbench.report.saved import MapFolder
from camsbench.runner import run
from camsbench.spread import spread_markdown, spread_of
from camsbench.store import RunFolder
from camsbench.tables.pairs import pairs

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """Where a run, or an experiment of several, lies and what it gave."""

    path: Path
    config: DictConfig
    rows: pd.DataFrame  # of the images that were chosen
    summary: pd.DataFrame
    report: str  # summary.md, or table.md
    errors: int  # rows of images that failed
    spread: pd.DataFrame | None = None  # over several draws
    failed: int = 0  # runs that could not be done


def execute(cfg: DictConfig) -> Outcome:
    """Run a configuration to its end, or go on with it.

    Raises:
        CamsbenchError: an option, file or network is wrong.
    """
    keep_freed_memory()
    cfg = with_controls(cfg) if cfg.controls else cfg
    job = build(cfg)
    same = identity.identity(job)
    folder = RunFolder(Path(cfg.output).expanduser() if cfg.output else Path("results") / _name(job, same))
    with folder.locked():
        folder.open(same, identity.provenance(job), OmegaConf.to_yaml(cfg, resolve=True))
        folder.write_manifest(job.records)
        if cfg.retry:
            folder.forget_errors()
        if not folder.parts():
            check_data(job)
        account = run(job, folder)
        folder.account(account.record())
        return _report(job, folder, account)


def check_data(job: Job) -> None:
    """Before a run begins: are the labels those of the images? (``data.check`` images, see ``camsbench.labelcheck``.)

    Raises:
        CamsbenchError: they are not.
    """
    images = job.config.data.get("check", 0)
    if not isinstance(images, int) or images < 0:
        raise CamsbenchError(f"data.check={images}: give a number of images, or 0 for no check")
    if images and job.published_top1 is not None:
        refuse_wrong(agreement(job.split, job.records, images, job.published_top1), f"data={job.config.data.name}")


def _name(job: Job, same: dict[str, object]) -> str:
    methods = "+".join(job.methods)
    if len(methods) > 60:
        methods = f"{len(job.methods)}-methods"
    readable = f"{job.split.name}-{job.config.data.name}-{methods}-{job.config.protocol.name}"
    return f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', readable)}-{identity.short_hash(same)}"


def _report(job: Job, folder: RunFolder, account: Account) -> Outcome:
    rows = folder.rows()
    rows = rows[rows["image_id"].isin({record.image_id for record in job.records})]  # an earlier session had others
    order = {name: i for i, name in enumerate(job.methods)}
    rows = rows.sort_values("method", key=lambda names: names.map(order), kind="stable", ignore_index=True)
    summary = tables.summarise(rows)
    folder.write_text("summary.csv", summary.to_csv(index=False))
    errors = int(rows["error"].notna().sum())
    text = (
        "\n\n".join([_heading(job, rows), tables.markdown(summary, job.better), *_remarks(job, rows, summary, errors)])
        + "\n"
    )
    if account.images:
        text += f"\n{account.sentence()}\n"
    if (moved := spread_of(job.config, rows)) is not None:
        folder.write_text("spread.csv", moved.to_csv(index=False))
        text += f"\n{spread_markdown(moved)}\n"
    if len(job.methods) > 1:
        folder.write_text("pairs.csv", pairs(rows, seed=job.seed).to_csv(index=False))
    folder.write_text("summary.md", text)
    if job.gallery:
        maps = MapFolder(folder.path / "maps", job.gallery)
        shown = job.records[: job.gallery]
        path = folder.path / "gallery.png"
        tasks = [Task(split.layer, method) for split in job.splits for method in job.methods]
        gallery.draw(path, shown, tasks, rows, maps, job.split.preprocess, job.split.num_classes)
    return Outcome(folder.path, job.config, rows, summary, text, errors, moved)


def _heading(job: Job, rows: pd.DataFrame) -> str:
    images = rows[rows["error"].isna()].drop_duplicates("image_id")
    layers = ", ".join(split.layer for split in job.splits)
    said = f"{job.split.name} at {layers}, {len(images)} images of {job.config.data.name}, {job.protocol}"
    if job.target == "predicted" and len(images):
        top1 = 100 * (images["label"] == images["target"]).mean()
        said += f", top-1 {top1:.1f} %" + (f" (published {job.published_top1} %)" if job.published_top1 else "")
    return said


def _steps(steps: int | None) -> str:
    return "one step a cell of the map" if steps is None else f"{steps} steps"


def _remarks(job: Job, rows: pd.DataFrame, summary: pd.DataFrame, errors: int) -> list[str]:
    metric = job.config.metric
    settings = [
        f"{name}: {_steps(metric[name].steps)}, substrate {metric[name].substrate}"
        for name in ("insertion", "deletion")
        if name in metric
    ]
    remarks = ["Means over images, the papers' metrics in percent."]
    if "adcc" in summary:
        remarks[0] += " ADCC: harmonic mean of the means, as papers print it."
    if "time" in summary:
        remarks[0] += " Time: median seconds of one image, with exact short cuts (time) and without (time_plain)."
    undefined = rows[rows["error"].isna()][job.columns].isna().groupby(rows["method"]).sum().max()
    for column, images in undefined[undefined > 0].items():
        remarks.append(f"{column} is not defined for {images} of the images (such as one without a box).")
    if settings:
        remarks.append("; ".join(settings).capitalize() + ".")
    if len(job.methods) > 1:
        remarks.append("pairs.csv: a paired test of each two methods, and how many images would separate them.")
    if len(set(summary["n"])) > 1:
        remarks.append("Methods with another n ran on other images: compare within the same n only.")
    if errors:
        remarks.append(f"Warning: {errors} rows failed, see the column error of rows/; retry=true tries them again.")
    return remarks
