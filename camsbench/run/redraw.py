"""Maps of images that a run has rows of and kept no map of: explained again, which gives the same map."""

from __future__ import annotations

from collections.abc import Collection

from camsbench.config.job import Job
from camsbench.data.loader import batches
from camsbench.data.record import Record
from camsbench.run.work import Block, chunk, make_blocks, select_tasks
from camsbench.run.worker import explain_batch
from camsbench.store.folder import RunFolder
from camsbench.store.maps import MapFolder
from camsbench.store.schema import Task
from camsbench.store.shares import Shard


def draw_missing(job: Job, folder: RunFolder, images: Collection[str]) -> None:
    """Save the maps that are lacking of ``images`` (ids): of a session that kept none, or of images chosen later."""
    if not images:
        return
    maps = MapFolder(folder.path / "maps", len(job.records))
    done = folder.done(good=True)

    def lacks_map(record: Record, task: Task) -> bool:
        return (
            record.image_id in images
            and (record.image_id, task.method, task.layer) in done
            and maps.load(task, record) is None
        )

    for block in make_blocks(select_tasks(job, lacks_map), job.runtime.block, Shard()):
        _draw_block(job, block, maps)


def _draw_block(job: Job, block: Block, maps: MapFolder) -> None:
    groups = chunk(block.places, job.runtime.batch_size)
    for batch in batches(job.records, groups, job.split.preprocess, job.runtime.workers, pin=False):
        for task, places, explained in explain_batch(job, block, batch):
            for place, grey in maps.wanted(places, explained.saliency).items():
                maps.save(task, job.records[place], grey)
