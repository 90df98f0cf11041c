"""Commands that tests begin, watch and break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import torch
from quick import FULL, QUICK, quick_run

from camsbench.session import Outcome
from camsbench.store.folder import RunFolder

OPTIONS = [  # images of 224 pixels: what is watched and broken must not be over too soon
    *(*QUICK, *FULL, "method=[smoothgradcampp,reciprocam]", "metric=[drop,insertion]", "data.limit=6"),
    *("runtime.workers=auto", "runtime.batch_size=1", "runtime.block=1"),
]
KEYS = ["method", "image_id"]

HELD = """
import os, time
from pathlib import Path
from camsbench.methods.reciprocam import ReciproCAM

FOLDER = Path(FOLDER_NAME)

class Held(ReciproCAM):
    def __call__(self, split, forward):
        with (FOLDER / "calls").open("ab", buffering=0) as calls:  # appended by all workers
            calls.write(b".")
            if calls.tell() > int((FOLDER / "free").read_text()):
                (FOLDER / f"held-{os.getpid()}").touch()
                while not (FOLDER / "go").exists():
                    time.sleep(0.01)
        return super().__call__(split, forward)
"""


class Hold:
    """Holds a run still in the middle of a block, so that what breaks it cannot come too late.

    Its ``options`` are those of a run whose ReciproCAM, in the modules folder ``plugins``, does the first ``free``
    images and then waits, in each process that works, until ``release``: from then on it is plain ReciproCAM.
    """

    options = ("method.reciprocam._target_=hold.Held",)

    def __init__(self, folder: Path, plugins: Path, free: int) -> None:
        self.folder, self.free = folder, free
        folder.mkdir()
        (folder / "free").write_text(str(free))
        (plugins / "hold.py").write_text(HELD.replace("FOLDER_NAME", repr(str(folder))))

    def allow(self, calls: int) -> None:
        """Hold after so many calls of the method instead: where a metric explains again, there are two an image."""
        (self.folder / "free").write_text(str(calls))

    def held(self) -> list[int]:
        """The processes that wait."""
        return [int(path.name.partition("-")[2]) for path in self.folder.glob("held-*")]

    def release(self) -> None:
        """Let them go on, and never hold again."""
        (self.folder / "go").touch()


def run(output: Path, *overrides: str) -> Outcome:
    """The run, in this process, on one thread as workers have it: other threads round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return quick_run(output, *OPTIONS, *overrides)
    finally:
        torch.set_num_threads(threads)


def begin(output: Path, *overrides: str, **environment: str) -> subprocess.Popen[str]:
    """The run as a command."""
    return subprocess.Popen(
        [sys.executable, "-m", "camsbench", *OPTIONS, f"output={output}", *overrides],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def begin_held(hold: Hold, output: Path, *overrides: str, working: int | None = None) -> subprocess.Popen[str]:
    """A run of which ``hold.free`` parts are written, and every process that works waits in the middle of a block."""
    process = begin(output, *hold.options, *overrides)
    count = working or (2 if "runtime.executor.processes=2" in overrides else 1)
    until(lambda: len(parts(output)) == hold.free and len(hold.held()) == count, process)
    return process


def until(true: Callable[[], object], process: subprocess.Popen[str] | None = None, seconds: float = 120) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + seconds
    while not true():
        if process is not None and process.poll() is not None:
            raise AssertionError(f"ended with {process.returncode}: {process.communicate()}")
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def parts(output: Path) -> list[Path]:
    return RunFolder(output).parts()


def rows_of(output: Path) -> pd.DataFrame:
    return RunFolder(output).rows()


def workers(output: Path, busy: bool = False) -> list[int]:
    """Process numbers of the workers that a run says it has, or of those that do a block."""
    try:
        said = json.loads((output / "progress" / "1-of-1.json").read_text())["workers"]
    except FileNotFoundError:
        return []
    return [int(each["where"].rpartition(":")[2]) for each in said if each["block"] is not None or not busy]


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def same_rows(output: Path, reference: Path, tolerance: float = 1e-6) -> None:
    """Every row once, and each as in the run that nothing happened to."""
    left, right = (rows_of(folder).sort_values(KEYS).reset_index(drop=True) for folder in (output, reference))
    assert not left.duplicated(KEYS).any()
    assert sum(RunFolder(output).counts()[method][0] for method in left["method"].unique()) == len(left)  # none hidden
    pd.testing.assert_frame_equal(left.drop(columns="seconds"), right.drop(columns="seconds"), rtol=0, atol=tolerance)
    curves, expected = (
        RunFolder(folder).curves().sort_values([*KEYS, "curve"]).reset_index(drop=True)
        for folder in (output, reference)
    )
    assert curves[[*KEYS, "curve"]].equals(expected[[*KEYS, "curve"]])
    for ours, theirs in zip(curves["y"], expected["y"], strict=True):
        assert abs(ours - theirs).max() <= tolerance
