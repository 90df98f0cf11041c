"""The run: blocks that are left -> who does them -> parts on disk."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from camsbench.config.job import Job
from camsbench.run.account import Account, Spent
from camsbench.run.executors import executor
from camsbench.run.progress import Progress
from camsbench.run.redraw import draw_missing
from camsbench.run.work import blocks, pending
from camsbench.store.folder import RunFolder
from camsbench.store.maps import MapFolder


def run(job: Job, folder: RunFolder) -> Account:
    """Do what is pending of this session's share, a block of images a part."""
    runtime = job.runtime
    todo = blocks(pending(job, folder), runtime.block, runtime.shard)
    maps = MapFolder(folder.path / "maps", job.maps_kept)
    workers = executor(job, maps)
    spent: list[Spent] = []
    boxes = dropped = 0
    names = [column.name for column in job.columns]
    with (
        Progress(folder.path, runtime.shard, todo, job.split.name, runtime.heartbeat) as progress,
        closing(workers.run(todo, progress)) as finished,
    ):
        for done in finished:
            folder.write_part(done.rows, names, done.curves, done.block)
            for task, place, grey in done.maps:
                maps.save(task, job.records[place], grey)
            spent.append(done.spent)
            boxes, dropped = boxes + done.boxes, dropped + done.dropped
    draw_missing(job, folder, {record.image_id for record in job.records[: maps.count]})
    account = Account.of(progress.images, progress.seconds, spent, workers.closings)
    return replace(account, boxes=boxes, dropped=dropped)
