"""What a run folder's rows come to: the summary and what is said with it, pairs, spread, gallery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from camsbench import tables
from camsbench.config.job import Job
from camsbench.core.columns import Column, curves_of
from camsbench.data.classes import Classes
from camsbench.report.figures import gallery
from camsbench.report.heading import heading
from camsbench.run.account import Account
from camsbench.run.work import select_tasks
from camsbench.store.folder import RunFolder
from camsbench.store.maps import MapFolder
from camsbench.store.schema import Task
from camsbench.tables.columns import summary_columns
from camsbench.tables.pairs import pairs
from camsbench.tables.reliability.controls import controls_of
from camsbench.tables.reliability.metric import Reliability, reliability
from camsbench.tables.reliability.text import best_markdown, ranking_table
from camsbench.tables.spread import spread_markdown, spread_of
from camsbench.tables.subgroups import split_summary


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
    pairs: pd.DataFrame | None = None  # of each two methods, where there are two
    columns: Sequence[Column] = ()  # what the metrics declare
    reliability: Sequence[Reliability] = ()  # of each metric, where there are two methods


def report(job: Job, folder: RunFolder, account: Account) -> Outcome:
    """Write ``summary.md`` and what goes with it, of all rows of the run's images that any session has written."""
    rows = folder.rows(curves_of(job.columns))
    rows = rows[rows["image_id"].isin({record.image_id for record in job.records})]  # an earlier session had others
    order = {name: i for i, name in enumerate(job.methods)}
    rows = rows.sort_values("method", key=lambda names: names.map(order), kind="stable", ignore_index=True)
    summary = tables.summarise(rows, job.columns)
    folder.write_text("summary.csv", summary.to_csv(index=False))
    errors = int(rows["error"].notna().sum())
    remarks = _remarks(job, rows, summary, errors)
    remarks += [f"Warning: {sentence}." for sentence in folder.code_changes()]
    parts = [heading(job.config, rows), tables.markdown(summary, job.columns), *remarks]
    text = "\n\n".join(parts) + "\n"
    if account.images:
        text += f"\n{account.sentence()}\n"
    split = split_summary(job.config, rows, job.columns, Classes.of(job.split))
    if split is not None:
        folder.write_text("subgroups.csv", split.table().to_csv(index=False))
        text += f"\n{split.markdown(job.columns)}\n"
    if (moved := spread_of(job.config, rows, job.columns)) is not None:
        folder.write_text("spread.csv", moved.to_csv(index=False))
        text += f"\n{spread_markdown(moved)}\n"
    between = pairs(rows, seed=job.seed, declared=job.columns) if len(job.methods) > 1 else None
    if between is not None:
        folder.write_text("pairs.csv", between.to_csv(index=False))
    ranked = reliability(rows, job.columns, controls_of(job.methods), job.seed)
    if ranked:
        folder.write_text("ranking.csv", ranking_table(ranked).to_csv(index=False))
        text += f"\n{best_markdown(ranked)}\n"
    folder.write_text("summary.md", text)
    if job.gallery:
        maps = MapFolder(folder.path / "maps", job.gallery)
        shown = job.records[: job.gallery]
        path = folder.path / "gallery.png"
        tasks = [Task(split.layer, method) for split in job.splits for method in job.methods]
        gallery.draw(path, shown, tasks, rows, maps, job.split.preprocess, Classes.of(job.split))
    made = Outcome(folder.path, job.config, rows, summary, text, errors, moved, columns=job.columns)
    return replace(made, pairs=between, reliability=ranked)


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
    reduced = [column.remark for column in summary_columns(rows.columns, job.columns)]
    remarks[0] += "".join(f" {remark}" for remark in dict.fromkeys(reduced) if remark)
    names = [column.name for column in job.columns]
    undefined = rows[rows["error"].isna()][names].isna().groupby(rows["method"]).sum().max()
    for column, images in undefined[undefined > 0].items():
        remarks.append(f"{column} is not defined for {images} of the images (such as one without a box).")
    if settings:
        remarks.append("; ".join(settings).capitalize() + ".")
    if len(job.methods) > 1:
        remarks.append("pairs.csv: a paired test of each two methods, and how many images would separate them.")
    if len(set(summary["n"])) > 1:
        remarks.append("Methods with another n ran on other images: compare within the same n only.")
    if lacking := _missing(job, rows):
        remarks.append(lacking)
    remarks += job.left_out
    if errors:
        remarks.append(f"Warning: {errors} rows failed, see the column error of rows/; retry=true tries them again.")
    return remarks


def _missing(job: Job, rows: pd.DataFrame) -> str | None:
    """What the run would have that no session has done yet."""
    have = set(zip(rows["image_id"], rows["layer"], rows["method"], strict=True))
    left = select_tasks(job, lambda record, task: (record.image_id, task.layer, task.method) not in have)
    if not left.tasks:
        return None
    counts = Counter(task.method for tasks in left.tasks.values() for task in tasks)
    said = ", ".join(f"{method} {count:,}" for method, count in counts.items())
    return (
        f"Missing: {left.maps:,} of {left.maps + len(rows):,} rows, of {len(left.tasks):,} images ({said}): their "
        "shares are not done. The command without runtime.shard does what is left and writes this summary again."
    )
