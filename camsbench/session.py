"""One command of a user: open the run folder, run what is pending, summarise, draw."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from camsbench.config.build import build
from camsbench.config.compose import add_controls
from camsbench.config.job import Job
from camsbench.core.process import allow_pauses, tune_allocator
from camsbench.data import fingerprint
from camsbench.data.checks import agreement, refuse_wrong
from camsbench.errors import CamsbenchError
from camsbench.report import page
from camsbench.report.saved_run import SavedRun
from camsbench.report.summary import Outcome as Outcome
from camsbench.report.summary import report
from camsbench.run import identity
from camsbench.run.runner import run
from camsbench.run.work import check_shares, hash_plan
from camsbench.store.folder import RunFolder
from camsbench.tables.subgroups import check_cells

log = logging.getLogger(__name__)


def execute(cfg: DictConfig) -> Outcome:
    """Run a configuration to its end, or go on with it.

    Raises:
        CamsbenchError: an option, file or network is wrong.
    """
    cfg = add_controls(cfg) if cfg.controls else cfg
    job = build(cfg)
    check_cells(cfg, job.records)
    allow_pauses(job.runtime.tune_process)
    if job.runtime.tune_process:
        tune_allocator()
    same, images = identity.identity(job), fingerprint.sample(job.source)
    folder = RunFolder(Path(cfg.output).expanduser() if cfg.output else Path("results") / _name(job, same, images))
    runtime = job.runtime
    check_shares(len(job.records), runtime.block, runtime.shard)
    with folder.locked(runtime.shard, hash_plan(job.records, runtime.block, runtime.shard)):
        with folder.moment():
            folder.open(same, identity.provenance(job), OmegaConf.to_yaml(cfg, resolve=True), job.source, images)
            folder.write_manifest(job.records, job.uses_boxes)
            for said in (*job.left_out, *folder.code_changes()):
                log.warning("%s", said)
            if cfg.retry:
                places = enumerate(job.records)
                folder.forget_errors({r.image_id for i, r in places if runtime.shard.has(i // runtime.block)})
        if not folder.parts():
            check_data(job)
        account = run(job, folder)
        with folder.moment():
            folder.account(account.record())
            outcome = report(job, folder, account)
        if cfg.report.html:
            saved = SavedRun.load(
                folder.path,
                outcome.rows,
                planned=len(job.records),
                known_pairs=outcome.pairs,
                known_reliability=outcome.reliability,
                built=job,
            )
            page.write(page.ReportInput([saved], []), folder.path / "report.html", cfg.report.maps)
        return outcome


def check_data(job: Job) -> None:
    """Before a run begins: are the labels those of the images? (``data.check`` images, see ``camsbench.data.checks``.)

    Raises:
        CamsbenchError: they are not.
    """
    images = job.config.data.get("check", 0)
    if not isinstance(images, int) or images < 0:
        raise CamsbenchError(f"data.check={images}: give a number of images, or 0 for no check")
    if images and job.published_top1 is not None:
        refuse_wrong(agreement(job.split, job.records, images, job.published_top1), f"data={job.config.data.name}")


def _name(job: Job, same: dict[str, object], images: dict[str, str]) -> str:
    """Of the images one counts, so that the name stays when another is mended; the folder itself looks at more."""
    same = {**same, "data.fingerprint": next(iter(images.items()), None)}
    methods = "+".join(job.methods)
    if len(methods) > 60:
        methods = f"{len(job.methods)}-methods"
    readable = f"{job.split.name}-{job.config.data.name}-{methods}-{job.config.protocol.name}"
    return f"{re.sub(r'[^A-Za-z0-9_.+-]', '_', readable)}-{identity.short_hash(same)}"
