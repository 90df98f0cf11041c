"""The run: blocks that are left -> who does them -> parts on disk."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

from camsbench.accounting import Account, Spent
from camsbench.blocks import Block, blocks, cut
from camsbench.data import Record
from camsbench.executors.executor import executor
from camsbench.job import Job
from camsbench.loader import batches
from camsbench.pending import Task, pending, where
from camsbench.progress import Progress
from camsbench.report.saved import MapFolder
from camsbench.shard import Shard
from camsbench.store import RunFolder
from camsbench.worker import explanations


def run(job: Job, folder: RunFolder) -> Account:
    """Do what is pending of this session's share, a block of images a part."""
    runtime = job.runtime
    todo = blocks(pending(job, folder), runtime.block, runtime.shard)
    maps = MapFolder(folder.path / "maps", job.gallery)
    workers = executor(job, maps)
    spent: list[Spent] = []
    boxes = dropped = 0
    with (
        Progress(folder.path, runtime.shard, todo, job.split.name, runtime.heartbeat) as progress,
        closing(workers.run(todo, progress)) as finished,
    ):
        for done in finished:
            folder.write_part(done.rows, job.columns, done.curves, done.block)
            for task, place, grey in done.maps:
                maps.save(task, job.records[place], grey)
            spent.append(done.spent)
            boxes, dropped = boxes + done.boxes, dropped + done.dropped
    _draw_missing(job, folder, maps)
    account = Account.of(progress.images, progress.seconds, spent, workers.closings)
    return replace(account, boxes=boxes, dropped=dropped)


def _draw_missing(job: Job, folder: RunFolder, maps: MapFolder) -> None:
    """Explain again the gallery's images whose rows stem from a session that kept no map of them."""
    if not maps.count:
        return
    done = folder.done(good=True)

    def lacking(record: Record, task: Task) -> bool:
        return (record.image_id, task.method, task.layer) in done and maps.load(task, record) is None

    for block in blocks(where(job, lacking, maps.count), job.runtime.block, Shard()):
        _draw(job, block, maps)


def _draw(job: Job, block: Block, maps: MapFolder) -> None:
    groups = cut(block.places, job.runtime.batch_size)
    for batch in batches(job.records, groups, job.split.preprocess, job.runtime.workers, pin=False):
        for task, places, explained in explanations(job, block, batch):
            for place, grey in maps.wanted(places, explained.saliency).items():
                maps.save(task, job.records[place], grey)
