"""What a user installs: the wheel carries the configuration and runs without the checkout."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

import camsbench
from camsbench.config.paths import CONF
from camsbench.tables.published import TABLES

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (wheel,) = folder.glob("camsbench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.mark.slow
def test_the_wheel_carries_every_choice(unpacked: Path) -> None:
    in_wheel = {path.relative_to(unpacked / "camsbench/conf") for path in (unpacked / "camsbench/conf").rglob("*.yaml")}
    assert in_wheel == {path.relative_to(CONF) for path in CONF.rglob("*.yaml")}
    assert (unpacked / "camsbench/data/assets/sample_boxes.csv").is_file()
    for name in TABLES:
        printed = f"tables/papers/{name}.csv"
        assert (unpacked / "camsbench" / printed).read_text() == (ROOT / "camsbench" / printed).read_text()
    assert (unpacked / "camsbench/py.typed").is_file()
    vendor = Path("camsbench/report/page/assets/vendor")
    shipped = {path.relative_to(unpacked) for path in (unpacked / vendor).rglob("*") if path.is_file()}
    assert {vendor / "echarts.min.js", vendor / "LICENSE", vendor / "NOTICE", vendor / "licenses/LICENSE-d3"} <= shipped


@pytest.mark.slow
def test_the_wheel_runs_without_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "camsbench", "data.limit=1", "metric=[complexity]", "runtime.workers=0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "| gradcam | 1 |" in done.stdout
    where = subprocess.run(
        [sys.executable, "-c", "from camsbench.config.paths import CONF; print(CONF)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.strip() == str(unpacked / "camsbench" / "conf")


def test_the_version_is_the_changelog_s() -> None:
    found = re.search(r"^## (\S+)( \(unreleased\))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert found is not None
    assert camsbench.__version__ == found[1] + (".dev0" if found[2] else "")


def test_help_is_said_without_pytorch() -> None:
    code = (
        "import sys; sys.argv = ['camsbench', 'method=gradcam', '-h']; from camsbench.__main__ import main; main(); "
        "assert not {'torch', 'timm', 'pandas', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.startswith("camsbench measures explanations")


ON_THE_HOST = {
    "inpaint.py",
    "_similarity.py",
    "_segments.py",
    "_regions.py",
}  # OpenCV's inpainting; SciPy's and scikit-image's


def test_no_host_round_trips_in_methods_and_metrics() -> None:
    """Nothing in methods and metrics copies to the host but what runs there; the runner does it once a batch."""
    found = [
        f"{path.name}: {line.strip()}"
        for folder in ("methods", "metrics")
        for path in (ROOT / "camsbench" / folder).glob("*.py")
        if path.name not in ON_THE_HOST
        for line in path.read_text().splitlines()
        if re.search(r"\.(item|cpu|tolist|numpy)\(", line)
    ]
    assert found == []


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_readme_s_method_works_as_pasted(tmp_path: Path) -> None:
    (method,) = [block for block in blocks("python") if "class MeanActivation" in block]
    (options,) = [block for block in blocks("yaml") if "meanactivation" in block]
    (tmp_path / "my_methods.py").write_text(method)
    (tmp_path / "my_conf" / "method").mkdir(parents=True)
    (tmp_path / "my_conf" / "method" / "meanactivation.yaml").write_text(options)
    (line,) = [block for block in blocks("sh") if "my_conf" in block]
    line = line.replace("python", sys.executable, 1).strip() + " data.limit=1 'metric=[drop]'"
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "| meanactivation | 1 |" in done.stdout


@pytest.mark.slow
def test_the_readme_s_python_works_as_pasted(full_images: Tensor) -> None:
    (calls,) = [block for block in blocks("python") if "load_model" in block]
    calls = calls.replace('"scorecam"', '"gradcam"')  # a pass a channel is another test's
    names: dict[str, Any] = {"x": full_images[:1]}
    exec(calls, names)
    assert names["maps"].shape == (1, 1, 224, 224)
    assert {"adcc", "insertion"} <= set(names["rows"].columns)
