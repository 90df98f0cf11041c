"""Who works on a run changes no row of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import begin, parts, run, same_rows, until, workers
from quick import QUICK
from torchvision.models import resnet18

from camsbench import CamsbenchError, session
from camsbench.config.compose import compose_config
from camsbench.config.runtime import prepare
from camsbench.run.executors.schedule import Schedule
from camsbench.run.work import Block
from camsbench.store.schema import Task

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
        prepare(compose_config([option]).runtime)
    assert str(raised.value).startswith(sentence)


def blocks(count: int) -> list[Block]:
    return [Block(number, {number: [TASK]}) for number in range(count)]


def numbers(given: tuple[Block, list[Block]] | None) -> tuple[int, list[int]] | None:
    return None if given is None else (given[0].number, [block.number for block in given[1]])


def test_each_worker_reads_ahead_what_it_does_next() -> None:
    schedule = Schedule(blocks(5), retries=0)
    assert numbers(schedule.next(0)) == (0, [1])
    assert numbers(schedule.next(1)) == (2, [3])
    schedule.finished(0)
    assert numbers(schedule.next(0)) == (1, [4])
    schedule.finished(0)
    assert numbers(schedule.next(0)) == (4, [])
    schedule.finished(0)
    assert numbers(schedule.next(0)) == (3, [])  # the other is slow
    schedule.finished(0)
    assert schedule.next(0) is None
    assert schedule.open
    schedule.finished(1)
    assert not schedule.open


def test_what_a_lost_worker_had_is_done_by_another() -> None:
    schedule = Schedule(blocks(3), retries=1)
    schedule.next(0)
    lost = schedule.lost(0)
    assert lost is not None
    assert lost.number == 0
    assert schedule.waiting == 3
    assert numbers(schedule.next(1)) == (0, [1])
    schedule.lost(1)
    assert [block.number for block in schedule.given_up] == [0]
    assert numbers(schedule.next(2)) == (1, [2])
    schedule.lost(7)  # one that had nothing
    assert schedule.waiting == 1


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
def test_a_ray_node_that_dies(cluster: Any, reference: Path, tmp_path: Path) -> None:
    options = ["runtime/executor=ray", f"runtime.executor.address={cluster.address}", "runtime.heartbeat=0.1"]
    process = begin(tmp_path / "run", *options)
    until(lambda: len(workers(tmp_path / "run", busy=True)) == 2 and parts(tmp_path / "run"), process)
    cluster.remove_node(list(cluster.worker_nodes)[-1], allow_graceful=False)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "was lost" in said
    assert "is done again by another" in said
    same_rows(tmp_path / "run", reference)


@pytest.mark.faults
def test_an_actor_that_is_killed(cluster: Any, reference: Path, tmp_path: Path) -> None:
    options = ["runtime/executor=ray", f"runtime.executor.address={cluster.address}", "runtime.heartbeat=0.1"]
    process = begin(tmp_path / "run", *options)
    until(lambda: workers(tmp_path / "run", busy=True) and parts(tmp_path / "run"), process)
    os.kill(workers(tmp_path / "run", busy=True)[0], signal.SIGKILL)
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
