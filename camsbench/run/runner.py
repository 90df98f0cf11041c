"""The run: blocks that are left -> who does them -> parts on disk."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from camsbench.config.job import Job
from camsbench.run.account import Account, Spent
from camsbench.run.executors import choose_executor
from camsbench.run.progress import Progress
from camsbench.run.redraw import draw_missing
from camsbench.run.work import find_pending, make_blocks
from camsbench.store.folder import RunFolder
from camsbench.store.maps import MapFolder
from camsbench.store.schema import cell_types


def run(job: Job, folder: RunFolder) -> Account:
    """Do what is pending of this session's share, a block of images a part."""
    runtime = job.runtime
    blocks = make_blocks(find_pending(job, folder), runtime.block, runtime.shard)
    maps = MapFolder(folder.path / "maps", job.maps_kept)
    executor = choose_executor(job, maps)
    spent: list[Spent] = []
    boxes = dropped = 0
    names, cells = [column.name for column in job.columns], cell_types(record.cells for record in job.source)
    with (
        Progress(folder.path, runtime.shard, blocks, job.split.name, runtime.heartbeat) as progress,
        closing(executor.run(blocks, progress)) as results,
    ):
        for result in results:
            folder.write_part(result.rows, names, result.curves, result.block, cells)
            for task, place, grey in result.maps:
                maps.save(task, job.records[place], grey)
            spent.append(result.spent)
            boxes, dropped = boxes + result.boxes, dropped + result.dropped
    draw_missing(job, folder, {record.image_id for record in job.records[: maps.count]})
    account = Account.of(progress.images, progress.seconds, spent, executor.closings)
    return replace(account, boxes=boxes, dropped=dropped)
