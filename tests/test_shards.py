"""Shares of a run by hand, on a scheduler, and how far they are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import portalocker
import pytest
from faults import OPTIONS, begin, parts, rows_of, run, same_rows, until

from camsbench import CamsbenchError
from camsbench.data.record import Record
from camsbench.run.work import Pending, hash_plan, make_blocks
from camsbench.status import main, status
from camsbench.store.schema import Task
from camsbench.store.shares import Shard, hold, in_use

TASK = Task("bn2", "gradcam")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("shards") / "reference"
    run(output)
    return output


def test_a_block_is_its_places_whatever_is_done_of_it() -> None:
    todo = Pending({place: [TASK] for place in (0, 1, 5, 6, 7, 9)})
    found = {block.number: block.places for block in make_blocks(todo, 3, Shard())}
    assert found == {0: [0, 1], 1: [5], 2: [6, 7], 3: [9]}
    shares = [{b.number for b in make_blocks(todo, 3, Shard(number, 3))} for number in (1, 2, 3)]
    assert shares == [{0, 3}, {1}, {2}]


def test_sessions_of_one_plan_know_each_other() -> None:
    records = [Record(name, Path(name), 0) for name in "abc"]
    assert hash_plan(records, 2, Shard(1, 2)) == hash_plan(records, 2, Shard(2, 2))
    others = [
        hash_plan(records, 3, Shard(1, 2)),
        hash_plan(records, 2, Shard()),
        hash_plan(records[:2], 2, Shard(1, 2)),
    ]
    assert len({hash_plan(records, 2, Shard(1, 2)), *others}) == 4


def test_shares_are_done_side_by_side_and_none_twice(tmp_path: Path) -> None:
    with hold(tmp_path, Shard(1, 3), "plan") as alone, hold(tmp_path, Shard(3, 3), "plan") as together:
        assert (alone, together) == (True, False)
        assert in_use(tmp_path) == ["1/3", "3/3"]
        with (
            pytest.raises(CamsbenchError, match="in use by another run, of its share 1/3"),
            hold(tmp_path, Shard(1, 3), "plan"),
        ):
            pass
        with (
            pytest.raises(CamsbenchError, match="of other images, blocks or shares"),
            hold(tmp_path, Shard(), "another plan"),
        ):
            pass
    assert in_use(tmp_path) == []
    with hold(tmp_path, Shard(), "another plan") as alone:
        assert alone


HOLDING = """
import sys
from pathlib import Path
from camsbench.store.shares import Shard, hold

with hold(Path(sys.argv[1]), Shard(1, 2), "plan"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.faults
def test_a_share_is_free_when_its_process_is_gone(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    assert in_use(tmp_path) == ["1/2"]
    with hold(tmp_path, Shard(2, 2), "plan") as alone:  # the lock of the plan is shared with another process
        assert not alone
    with pytest.raises(CamsbenchError, match="its share 1/2"), hold(tmp_path, Shard(1, 2), "plan"):
        pass
    process.kill()
    process.communicate()
    with hold(tmp_path, Shard(), "another plan") as alone:
        assert alone


def test_a_file_system_without_locks_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(file: object, flags: object) -> None:
        raise portalocker.LockException("No locks available")

    monkeypatch.setattr(portalocker, "lock", refused)
    with (
        pytest.raises(CamsbenchError, match=r"its file system has no locks \(No locks available\)"),
        hold(tmp_path, Shard(), "plan"),
    ):
        pass


@pytest.mark.slow
def test_shares_come_together_in_one_summary(reference: Path, tmp_path: Path) -> None:
    said = run(tmp_path / "run", "runtime.shard=2/3").report
    assert "Missing: 8 of 12 rows, of 4 images (smoothgradcampp 4, reciprocam 4): their shares are not done." in said
    assert [part.name for part in parts(tmp_path / "run")] == ["part-00001-01.parquet", "part-00004-01.parquet"]
    assert len(rows_of(tmp_path / "run")) == 4
    one = begin(tmp_path / "run", "runtime.shard=1/3")
    three = begin(tmp_path / "run", "runtime.shard=3/3")
    texts = [process.communicate(timeout=240)[0] for process in (one, three)]
    assert (one.returncode, three.returncode) == (0, 0)
    assert sum("Missing" not in each for each in texts) >= 1  # whoever ends last
    same_rows(tmp_path / "run", reference)

    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert [session["account"]["images"] for session in environment["sessions"]] == [2, 2, 2]
    assert "Missing" not in run(tmp_path / "run").report  # the whole run finds nothing left to do
    assert len(status(tmp_path / "run").splitlines()) == 7


def test_more_shares_than_blocks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match=r"runtime\.shard=1/7: 6 images are 6 blocks of 1; use at most 6 shares"):
        run(tmp_path / "run", "runtime.shard=1/7")


@pytest.mark.slow
def test_status_of_a_run_that_goes_on(tmp_path: Path) -> None:
    options = ["runtime.executor.processes=2", "runtime.heartbeat=0.2", "data.limit=20", "method=groupcam"]
    process = begin(tmp_path / "run", *options)

    def said() -> list[str]:
        return status(tmp_path / "run").splitlines() if parts(tmp_path / "run") else []

    def workers() -> int:
        return sum(line.startswith("  worker ") for line in said())

    until(lambda: workers() == 2 and " left (" in said()[1], process)
    assert re.match(
        r"share 1/1: running; \d+ of 20 images, \d+ of 20 rows, [0-9.]+ images/s, [0-9:]+ left \(", said()[1]
    )
    _, beats = process.communicate(timeout=240)
    assert process.returncode == 0
    lines = [line for line in beats.splitlines() if "of 20 images (" in line]
    assert len(lines) >= 3
    assert any(re.search(r" % of the maps\), [0-9.]+ images/s, [0-9:]+ left, 2 workers$", line) for line in lines)
    assert said()[1].startswith("share 1/1: done; 20 of 20 images, 20 of 20 rows")


def test_status_of_no_run_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(tmp_path)])
    assert end.value.code == 1
    assert "is no run folder" in capsys.readouterr().err


def sweep(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """A sweep through submitit's launcher, whose local kind starts the processes that SLURM would."""
    return subprocess.run(
        [sys.executable, "-m", "camsbench", "-m", "hydra/launcher=submitit_local", *OPTIONS, *overrides],
        cwd=folder,
        env={**os.environ},
        capture_output=True,
        text=True,
        timeout=400,
    )


@pytest.mark.slow
def test_a_scheduler_sweeps_the_shares(reference: Path, tmp_path: Path) -> None:
    done = sweep(tmp_path, "output=run", "runtime.shard=1/2,2/2")
    assert done.returncode == 0, done.stderr
    same_rows(tmp_path / "run", reference)


@pytest.mark.slow
def test_a_sweep_whose_job_fails_elsewhere_ends_with_code_1(tmp_path: Path) -> None:
    done = sweep(tmp_path, "output=run", "runtime.shard=1/9,2/9")
    assert done.returncode == 1
    assert "use at most 6 shares" in done.stderr
