"""Whole runs of camsbench: methods that share a run, efficiency, and what a thousand images cost."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
from timm.data import ImageNetInfo

from benching.subjects import Bench
from benching.timing import Contender, Row, measure
from camsbench.config.build import build
from camsbench.config.compose import compose_config
from camsbench.data.embedded import samples
from camsbench.run.account import Account
from camsbench.run.runner import run
from camsbench.store.folder import RunFolder

FOUR = ("gradcam", "gradcampp", "smoothgradcampp", "reciprocam")  # Smooth Grad-CAM++ with its 4 noisy copies


def done(*overrides: str, metrics: bool = True) -> Account:
    """A run into an empty folder, from images on disk to rows on disk; the network is loaded before the clock."""
    cfg = compose_config(["data=samples", "runtime.device=cpu", *overrides])
    job = build(cfg)
    job = job if metrics else replace(job, metrics={})
    with tempfile.TemporaryDirectory() as folder:
        place = RunFolder(Path(folder))
        with place.locked():
            place.open({}, {}, "")
            return run(job, place)


def methods(bench: Bench) -> list[Row]:
    """Four methods in one run, and in a run each: without metrics, each run reading its images."""
    n = 2 if bench.smoke else 20
    options = (f"data.limit={n}", "runtime.bare=0", "metric=[complexity]")

    def seconds(*runs: str) -> float:
        return sum(done(f"method=[{each}]", *options, metrics=False).seconds for each in runs)

    contenders = [
        Contender("one run of four methods", lambda: None, seconds=partial(seconds, ",".join(FOUR))),
        Contender("four runs of one", lambda: None, seconds=partial(seconds, *FOUR)),
    ]
    return measure("runs", f"four methods, {'+'.join(FOUR)}", n, contenders, bench.times(5), bench.budget)


def efficiency(bench: Bench) -> pd.DataFrame:
    """Whole runs with metrics: the bare time of their passes over their wall time, as each accounts for itself."""
    some = "method=[gradcam,gradcampp,reciprocam]"
    score = "method=[scorecam] runtime.batch_size=1"  # bare passes are timed between batches
    kinds = {
        "methods and metrics, torch": (some, 20),
        "methods and metrics, openvino": ("method=[reciprocam,fem]", 20),
        "scorecam, torch": (score, 4),
        "scorecam, openvino": (score, 4),
    }
    found = []
    for name, (chosen, n) in kinds.items():
        backend = name.split(", ")[1]
        steps = 4 if bench.smoke else 28
        options = [f"data.limit={1 if bench.smoke else n}", f"runtime.backend={backend}"]
        options += [f"metric.{curve}.steps={steps}" for curve in ("insertion", "deletion")]
        if bench.smoke and chosen == score:
            options.append("model.layer=blocks.0.0.bn2")
        account = done(*chosen.split(), *options)
        found.append(
            {
                "section": "efficiency",
                "group": name,
                "images": account.images,
                "seconds": account.seconds,
                "forward": account.passes.forward,
                "head": account.passes.head_only,
                "backward": account.passes.backward,
                "bare passes a second": account.bare.forward_rate if account.bare else None,
                "bare repeats": account.repeats,
                "efficiency": account.efficiency,
            }
        )
    return pd.DataFrame(found)


def images(bench: Bench) -> pd.DataFrame:
    """Time and peak memory of the command line, by the number of images: the samples over and over."""
    found = []
    for n in (4, 8) if bench.smoke else (100, 300, 1000):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "images"
            repeated(root, n)
            command = [sys.executable, "-m", "camsbench", "data=ilsvrc2012", f"data.root={root}", "runtime.device=cpu"]
            command += ["method=[gradcam,reciprocam]", "metric=[drop]", "runtime.bare=0", f"output={folder}/run"]
            seconds = of_process(command)
            (session,) = json.loads((Path(folder) / "run/environment.json").read_text())["sessions"]
            peak = session["account"]["peak_memory_mib"]
        found.append({"section": "images", "group": n, "seconds": seconds, "MiB at the peak": peak})
    return pd.DataFrame(found)


def repeated(root: Path, n: int) -> None:
    """``n`` links to the sample images in folders named by wnid."""
    wnids, records = ImageNetInfo().label_names(), samples()
    for i in range(n):
        record = records[i % len(records)]
        link = root / wnids[record.label] / f"{record.image_id}-{i:05d}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(str(record.source))


def of_process(command: list[str]) -> float:
    """Seconds of a command.

    Raises:
        RuntimeError: it failed; its last line says why.
    """
    start = time.perf_counter()
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode:
        raise RuntimeError((made.stdout + made.stderr).strip().splitlines()[-1])
    return time.perf_counter() - start
