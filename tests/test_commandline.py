"""Paths with the characters that Hydra's grammar takes for its own, and the ways round them that users know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from quick import QUICK

from camsbench.config.compose import compose_config, quote_paths

STRANGE = [
    "/data/my images",
    "/data/a=b",
    "/data/val (1)",
    "/data/what?",
    "/data/a,b",
    "/data/[x]",
    "/data/{x}",
    "/data/it's",
    "/data/$HOME #1!",
    "/data/\u00e4\u00f6 & co;",
    "C:\\images",
    "/data/ends with a backslash\\",
    "/data/quote\\'s",
    "https://host/a%20b?x=1&y=2",
    "~/val",
    "/plain/path-1.2",
]


@pytest.mark.parametrize("path", STRANGE)
@pytest.mark.parametrize("option", ["data.root", "+data.root", "output"])
def test_a_path_arrives_as_it_was_typed(option: str, path: str) -> None:
    given = [] if option.startswith("+") else ["data=ilsvrc2012"]
    cfg = compose_config([*given, *quote_paths([f"{option}={path}"])])
    assert (cfg.output if option == "output" else cfg.data.root) == path


@pytest.mark.parametrize(
    "argument",
    [
        "data.root='/data/my images'",
        'data.root="/a=b"',
        "data.root=${oc.env:DATA}",
        "model.layer=[a,b]",
        "method=[gradcam]",
        "--multirun",
        "output=",
        "data.root=null",
    ],
)
def test_what_hydra_reads_right_is_left_alone(argument: str) -> None:
    assert quote_paths([argument]) == [argument]


def test_a_sweep_over_paths_is_a_sweep() -> None:
    assert quote_paths(["-m", "data.root=/a,/b"]) == ["-m", "data.root=/a,/b"]
    assert quote_paths(["data.root=/a,/b"]) == ["data.root='/a,/b'"]


def test_the_command_takes_a_strange_folder_and_litters_none(tmp_path: Path, sample_paths: list[Path]) -> None:
    root = tmp_path / "my images (1), a=b?"
    (root / "n02108422").mkdir(parents=True)
    (root / "n02108422" / "dog.jpg").symlink_to(sample_paths[0])
    (tmp_path / "here").mkdir()
    command = ["data=ilsvrc2012", f"data.root={root}", f"output={tmp_path}/a run", "metric=[complexity]", *QUICK]
    done = subprocess.run(
        [sys.executable, "-m", "camsbench", *command],
        cwd=tmp_path / "here",
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a run" / "summary.csv").is_file()
    assert not list((tmp_path / "here").iterdir())
