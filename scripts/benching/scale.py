"""Large runs: what workers side by side gain, what Ray costs, and what 50,000 rows or images cost before the first."""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benching.runs import of_process, repeated
from camsbench.config.compose import compose_config
from camsbench.config.images import choose_images
from camsbench.data import imagenet, tars
from camsbench.data.classes import validation_id
from camsbench.store.folder import RunFolder

WORK = ["method=gradcam", "metric=[drop,increase,insertion,deletion]", "runtime.device=cpu", "runtime.bare=0"]
WORK += ["metric.insertion.steps=8", "metric.deletion.steps=8", "runtime.batch_size=4", "runtime.block=4"]
KINDS = {
    "one process": ["runtime.executor.processes=1"],
    "two processes": ["runtime.executor.processes=2"],
    "two Ray actors": ["runtime/executor=ray", "runtime.executor.processes=2"],
}
BLOCK = 16


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    images: int
    repeats: int
    large: int


Line = dict[str, Any]


def workers(size: Size) -> list[Line]:
    """One process, two, and two actors of Ray, one thread each, in turns."""
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(size.repeats):
        for kind, options in KINDS.items():
            seconds[kind].append(_session(size.images, options))
    one, two, ray = (seconds[kind] for kind in KINDS)
    faster = [a / b for a, b in zip(one, two, strict=True)]
    dearer = [a / b for a, b in zip(ray, two, strict=True)]
    return [
        *(_line(f"{kind}, {size.images} images", statistics.median(found), "") for kind, found in seconds.items()),
        _line("two processes against one", statistics.median(faster), "at least 1.7", faster),
        _line("Ray over two processes", statistics.median(dearer), "at most 1.1", dearer),
    ]


def restart(size: Size) -> list[Line]:
    """The first new part of a run that has ``large`` rows, and of one that has none; in turns."""
    with _place() as folder:
        repeated(folder / "images", size.large + BLOCK)
        options = [
            "data=ilsvrc2012",
            f"data.root={folder / 'images'}",
            "data.check=0",
            "method=gradcam",
            "metric=[drop]",
        ]
        options += ["runtime.device=cpu", "runtime.bare=0", f"runtime.block={BLOCK}", f"runtime.batch_size={BLOCK}"]
        fresh, again = [], []
        _fill(folder / "done", options, size.large)
        for repeat in range(size.repeats):
            shutil.copytree(folder / "done", folder / f"again{repeat}")
            fresh.append(_first_part(folder / f"fresh{repeat}", options))
            again.append(_first_part(folder / f"again{repeat}", options))
    more = [a - f for a, f in zip(again, fresh, strict=True)]
    return [
        _line(f"first part of {size.large + BLOCK:,} images, no row yet, seconds", statistics.median(fresh), "", fresh),
        _line(f"the same, {size.large:,} rows done, seconds", statistics.median(again), "", again),
        _line("seconds more of the restart", statistics.median(more), "at most 5", more),
    ]


def tar(size: Size) -> list[Line]:
    """Opening a tar of ``large`` images: for the first time, and from the kept table of contents."""
    with _place() as folder:
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        archive = folder / "ILSVRC2012_img_val.tar"
        _make(archive, size.large)
        labels = folder / "labels.txt"
        labels.write_text("".join(f"{validation_id(i + 1)} {i % 1000}\n" for i in range(size.large)))
        first = _seconds_to_find(archive, labels)
        tars._contents.cache_clear()
        again = _seconds_to_find(archive, labels)
    return [
        _line(f"opening a tar of {size.large:,} images for the first time, seconds", first, "at most 20"),
        _line("again, seconds", again, "at most 2"),
    ]


def _line(what: str, value: float, target: str, runs: list[float] | None = None) -> Line:
    several = runs is not None and len(runs) > 1
    met = ""
    if target:
        bound = float(target.split()[-1])
        met = "met" if (value >= bound if target.startswith("at least") else value <= bound) else "not met"
    return {
        "what": what,
        "measured": value,
        "least": min(runs) if runs and several else None,
        "most": max(runs) if runs and several else None,
        "target": target,
        "verdict": met,
    }


@contextmanager
def _place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def _session(images: int, options: list[str]) -> float:
    """The seconds of a run by its own account."""
    with _place() as folder:
        repeated(folder / "images", images)
        command = [sys.executable, "-m", "camsbench", "data=ilsvrc2012", f"data.root={folder / 'images'}"]
        command += [*WORK, "data.check=0", f"output={folder / 'run'}", *options]
        os.environ["OMP_NUM_THREADS"] = "1"
        try:
            of_process(command)
        finally:
            del os.environ["OMP_NUM_THREADS"]
        (session,) = json.loads((folder / "run" / "environment.json").read_text())["sessions"]
    return float(session["account"]["seconds"])


def _first_part(output: Path, options: list[str]) -> float:
    """Seconds from the command to its first new part."""
    parts = RunFolder(output).parts
    before = len(parts())
    start = time.perf_counter()
    command = [sys.executable, "-m", "camsbench", *options, f"output={output}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while len(parts()) <= before:
        if process.poll() is not None:
            raise RuntimeError(process.communicate()[1].strip().splitlines()[-1])
        time.sleep(0.02)
    seconds = time.perf_counter() - start
    process.kill()
    process.communicate()
    return seconds


def _fill(output: Path, options: list[str], done: int) -> None:
    """Make a run of ``done`` rows: those of one block that was run, under the other images' names."""
    of_process([sys.executable, "-m", "camsbench", *options, "data.limit=16", f"output={output}"])
    folder = RunFolder(output)
    rows = [{str(key): value for key, value in row.items()} for row in folder.rows().to_dict("records")]
    other: Line = {"drop": 0.5, "error": None}
    (written,) = folder.parts()
    written.unlink()
    root = next(option.partition("=")[2] for option in options if option.startswith("data.root="))
    records = choose_images(compose_config(["data=ilsvrc2012", f"data.root='{root}'"]).data)
    with folder.locked(), folder.moment():
        folder.write_manifest(records)
        for block in range(done // BLOCK):
            chosen = records[block * BLOCK : (block + 1) * BLOCK]
            made = [{**row, **other, "image_id": r.image_id} for row, r in zip(rows, chosen, strict=True)]
            folder.write_part(made, ["drop"], block=block)


def _make(archive: Path, images: int) -> None:
    """A tar of small pictures, each another."""
    draw = np.random.default_rng(0)
    with tarfile.open(archive, "w") as made:
        for i in range(images):
            picture = io.BytesIO()
            Image.fromarray(draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)).save(picture, "JPEG")
            member = tarfile.TarInfo(f"{validation_id(i + 1)}.JPEG")
            member.size = len(picture.getvalue())
            made.addfile(member, io.BytesIO(picture.getvalue()))


def _seconds_to_find(archive: Path, labels: Path) -> float:
    start = time.perf_counter()
    imagenet.find(str(archive), labels=str(labels))
    return time.perf_counter() - start
