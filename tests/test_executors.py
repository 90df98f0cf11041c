"""Who works on a run changes no row of it."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from faults import Hold, begin, begin_held, run, same_rows
from quick import QUICK
from torchvision.models import resnet18

from camsbench import CamsbenchError, session
from camsbench.config.compose import compose_config
from camsbench.config.runtime import check_runtime
from camsbench.run.account import Closing
from camsbench.run.executors.messages import Event, LogLine, WorkerLost, WorkerReady
from camsbench.run.executors.pool import WorkerPool
from camsbench.run.executors.schedule import Schedule
from camsbench.run.progress import Progress
from camsbench.run.work import Block
from camsbench.run.worker import BlockResult
from camsbench.store.schema import Task
from camsbench.store.shares import Shard

TASK = Task("bn2", "gradcam")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("executors") / "reference"
    run(output)
    return output


@pytest.fixture(scope="module")
def small_reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("executors") / "small_reference"
    run(output, *QUICK)
    return output


@pytest.mark.parametrize(("processes", "bare"), [(2, 3), pytest.param(4, 0, marks=pytest.mark.slow)])
def test_several_processes_give_the_rows_of_one(
    processes: int, bare: int, small_reference: Path, tmp_path: Path
) -> None:
    options = [*QUICK, f"runtime.executor.processes={processes}", f"runtime.bare={bare}", "gallery=2"]
    outcome = run(tmp_path / "run", *options)
    same_rows(tmp_path / "run", small_reference)
    assert len(list((tmp_path / "run" / "maps").glob("*/*/*.png"))) == 4
    # an image: the base pass, the blurred one, four noisy ones; a method: the masked image, three points of a curve
    passes = "Passes: 84 forward for 6 images"
    assert passes in outcome.report
    assert passes in (small_reference / "summary.md").read_text()
    assert ("efficiency" in outcome.report) == (bare > 0)


@pytest.mark.slow
def test_what_a_worker_refuses_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are gone when the workers look for them."""
    path = tmp_path / "own.pth"

    def checked(job: Any) -> None:
        path.unlink()

    torch.save(resnet18(weights=None).state_dict(), path)
    monkeypatch.setattr(session, "check_data", checked)
    chosen = ["model=resnet18", f"model.weights='{path}'", "runtime.executor.processes=2"]
    with pytest.raises(CamsbenchError, match=r"there is no file .*own\.pth"):
        run(tmp_path / "run", *chosen)


@pytest.mark.slow
def test_workers_with_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.pth"
    torch.save(resnet18(weights=None).state_dict(), path)
    monkeypatch.setattr(session, "check_data", lambda job: torch.save(resnet18(weights=None).state_dict(), path))
    chosen = ["model=resnet18", f"model.weights='{path}'", "runtime.executor.processes=2"]
    with pytest.raises(CamsbenchError, match=r"resnet18 has other weights at .*: give all machines the same file"):
        run(tmp_path / "run", *chosen)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("runtime.executor.processes=0", "runtime.executor.processes=0: give a number from 1 up, or auto"),
        ("runtime.executor.threads=none", "runtime.executor.threads=none: give a number from 1 up, or auto"),
        ("runtime.executor.retries=-1", "runtime.executor.retries=-1: give a number from 0 up"),
        ("runtime.executor.name=dask", "runtime.executor.name=dask: choose runtime/executor=local"),
        ("runtime.heartbeat=0", "runtime.heartbeat=0: give the seconds"),
        ("runtime.shard=9/8", "runtime.shard=9/8: give NUMBER/OF"),
        ("runtime.shard=half", "runtime.shard=half: give NUMBER/OF"),
    ],
)
def test_wrong_options(option: str, sentence: str) -> None:
    with pytest.raises(CamsbenchError) as raised:
        check_runtime(compose_config([option]).runtime)
    assert str(raised.value).startswith(sentence)


def blocks(count: int) -> list[Block]:
    return [Block(number, {number: [TASK]}) for number in range(count)]


def numbers(given: tuple[Block, list[Block]] | None) -> tuple[int, list[int]] | None:
    return None if given is None else (given[0].number, [block.number for block in given[1]])


def test_each_worker_reads_ahead_what_it_does_next() -> None:
    schedule = Schedule(blocks(5), retries=0)
    assert numbers(schedule.assign(0)) == (0, [1])
    assert numbers(schedule.assign(1)) == (2, [3])
    schedule.finish(0)
    assert numbers(schedule.assign(0)) == (1, [4])
    schedule.finish(0)
    assert numbers(schedule.assign(0)) == (4, [])
    schedule.finish(0)
    assert numbers(schedule.assign(0)) == (3, [])  # the other is slow
    schedule.finish(0)
    assert schedule.assign(0) is None
    assert schedule.unfinished
    schedule.finish(1)
    assert not schedule.unfinished


def test_what_a_lost_worker_had_is_done_by_another() -> None:
    schedule = Schedule(blocks(3), retries=1)
    schedule.assign(0)
    lost = schedule.lose(0)
    assert lost is not None
    assert lost.number == 0
    assert schedule.waiting == 3
    assert numbers(schedule.assign(1)) == (0, [1])
    schedule.lose(1)
    assert [block.number for block in schedule.given_up] == [0]
    assert numbers(schedule.assign(2)) == (1, [2])
    schedule.lose(7)  # one that had nothing
    assert schedule.waiting == 1


class ScriptedPool(WorkerPool):
    """Workers that are no processes: those of ``dying`` are lost over their first block."""

    def __init__(self, size: int, retries: int, dying: Sequence[int] = ()) -> None:
        executor = SimpleNamespace(retries=retries)
        job: Any = SimpleNamespace(
            runtime=SimpleNamespace(executor=executor), split=SimpleNamespace(name="net", weight_hash="abc")
        )
        super().__init__(job)
        self.size, self.dying = size, dying
        self.started = self.killed = 0
        self.sent: list[int] = []
        self.queue: list[tuple[int, Event]] = []

    def open(self) -> int:
        return self.size

    def start_worker(self) -> None:
        self.queue.append((self.started, WorkerReady(f"here:{self.started}", "abc")))
        self.started += 1

    def send_block(self, worker: int, block: Block, ahead: Sequence[Block]) -> None:
        self.sent.append(block.number)
        if worker in self.dying:
            self.queue.append((worker, WorkerLost(f"worker {worker} was killed")))
        else:
            self.queue.append((worker, LogLine(logging.WARNING, "said by all")))
            spent: Any = None
            self.queue.append((worker, BlockResult(block.number, [], [], spent)))

    def events(self, seconds: float) -> list[tuple[int, Event]]:
        found, self.queue = self.queue[:1], self.queue[1:]
        return found

    def ask_closings(self) -> set[int]:
        asked = set(range(self.started)) - set(self.dying)
        for worker in asked:
            self.queue.append((worker, object.__new__(Closing)))  # whatever it holds
            self.queue.append((worker, WorkerLost("ended with code 0")))
        return asked

    def kill_workers(self) -> None:
        self.killed += 1


def done(pool: ScriptedPool, count: int, folder: Path) -> list[int]:
    todo = blocks(count)
    with Progress(folder, Shard(), todo, "run", 60.0) as progress:
        return sorted(result.block for result in pool.run(todo, progress))


def test_a_lost_worker_costs_one_block_and_one_network(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pool = ScriptedPool(size=4, retries=2, dying=[1])
    assert done(pool, 12, tmp_path) == list(range(12))
    assert (pool.started, len(pool.sent), pool.killed) == (5, 13, 1)
    assert len(pool.closings) == 4
    said = [record.getMessage() for record in caplog.records]
    (lost,) = (line for line in said if line != "said by all")
    assert re.fullmatch(r"worker 1 was killed: block \d+ is done again by another", lost)
    assert said.count("said by all") == 1


def test_a_block_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    pool = ScriptedPool(size=1, retries=1, dying=[0, 1])
    with pytest.raises(CamsbenchError, match=r"1 images were not done, 2 workers were lost over them \(blocks 0; the"):
        done(pool, 3, tmp_path)
    assert (pool.sent, pool.killed) == ([0, 0, 1, 2], 1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of a Ray cluster on this machine, with room for one worker each, and a head without any."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


@pytest.mark.slow
def test_actors_on_two_nodes_give_the_rows_of_one_process(cluster: Any, reference: Path, tmp_path: Path) -> None:
    process = begin(
        tmp_path / "run", "runtime/executor=ray", f"runtime.executor.address={cluster.address}", "gallery=1"
    )
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    same_rows(tmp_path / "run", reference)
    assert len(list((tmp_path / "run" / "maps").glob("*/*/*.png"))) == 2


@pytest.mark.faults
def test_a_ray_node_that_dies(cluster: Any, hold: Hold, reference: Path, tmp_path: Path) -> None:
    options = ["runtime/executor=ray", f"runtime.executor.address={cluster.address}", "runtime.heartbeat=0.1"]
    process = begin_held(hold, tmp_path / "run", *options, working=2)
    cluster.remove_node(list(cluster.worker_nodes)[-1], allow_graceful=False)
    hold.release()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "was lost" in said
    assert "is done again by another" in said
    same_rows(tmp_path / "run", reference)


@pytest.mark.faults
def test_an_actor_that_is_killed(cluster: Any, hold: Hold, reference: Path, tmp_path: Path) -> None:
    options = ["runtime/executor=ray", f"runtime.executor.address={cluster.address}", "runtime.heartbeat=0.1"]
    # the node that died leaves one; where that test did not run, there are two
    process = begin_held(hold, tmp_path / "run", *options, working=len(cluster.worker_nodes))
    os.kill(hold.held()[0], signal.SIGKILL)
    hold.release()
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "is done again by another" in said
    same_rows(tmp_path / "run", reference)


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    done = begin(tmp_path / "run", "runtime/executor=ray", "runtime.executor.address=127.0.0.1:9")
    _, said = done.communicate(timeout=240)
    assert done.returncode == 1
    assert (
        said.strip()
        .splitlines()[-1]
        .startswith("camsbench: runtime.executor.address=127.0.0.1:9: no Ray cluster answers there")
    )


@pytest.mark.slow
def test_without_ray_the_remedy_is_said(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None; sys.argv = ['camsbench', 'runtime/executor=ray', 'data.limit=1', "
        f"'output={tmp_path}/run']; from camsbench.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert "the Python package ray is not installed; pip install 'camsbench[ray]'" in done.stderr
