"""What tunes a process for the processor: on by itself, off by one option, by the environment in workers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from faults import Hold, begin_held, children, run, same_rows
from quick import QUICK

from camsbench import CamsbenchError, session
from camsbench.config.compose import compose_config
from camsbench.config.runtime import check_runtime
from camsbench.core import process

OFF = "runtime.tune_process=false"
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

KEPT = """
import sys
from camsbench.core.process import tune_allocator

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024

if sys.argv[1:] == ["tune"]:
    assert tune_allocator()
before = resident()
held = bytearray(b"x" * 2**20) * 256
del held
print(resident() - before)
"""


def kept(*arguments: str, **environment: str) -> int:
    """MiB of 256 that a process still has when they are freed."""
    command = [sys.executable, "-c", KEPT, *arguments]
    said = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return int(said.stdout)


@pytest.mark.slow
@glibc
def test_freed_memory_is_kept() -> None:
    assert kept() < 64
    assert kept("tune") >= 192
    assert kept(**process.process_environment(tune=True)) >= 192
    assert process.process_environment(tune=False) == {}


def test_one_option_turns_both_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(session, "tune_allocator", lambda: said.append("allocator"))
    monkeypatch.setattr(process, "_omp_pause", lambda: lambda kind: said.append("threads"))
    monkeypatch.setattr(process, "_threads_may_pause", True)  # put back after the test
    options = [*QUICK, "data.limit=1", "method=reciprocam"]
    run(tmp_path / "tuned", *options)
    process.pause_threads()
    assert said == ["allocator", "threads"]
    run(tmp_path / "plain", *options, OFF)
    process.pause_threads()
    assert said == ["allocator", "threads"]
    same_rows(tmp_path / "plain", tmp_path / "tuned")
    run(tmp_path / "tuned", *options, OFF)  # no part of the run's identity


@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc")
@pytest.mark.parametrize("options", [[], [OFF]], ids=["on", "off"])
def test_workers_have_it_in_their_environment(options: list[str], hold: Hold, tmp_path: Path) -> None:
    started = begin_held(hold, tmp_path / "run", "runtime.executor.processes=2", *options)
    found = [child.environ().get("MALLOC_MMAP_MAX_") for child in children(started)]
    started.kill()
    started.communicate()
    assert found == [None if options else "0"] * 2


def test_a_wrong_value_is_one_sentence() -> None:
    with pytest.raises(CamsbenchError, match=r"runtime\.tune_process=1: give true or false"):
        check_runtime(compose_config(["runtime.tune_process=1"]).runtime)
