"""The documentation is true: examples run as pasted, links lead somewhere, targets exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "results" / "README.md", *(ROOT / "docs").glob("*.md")]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
EXTENDING = (ROOT / "docs" / "extending.md").read_text()


@pytest.fixture
def place(tmp_path: Path, sample_paths: list[Path]) -> Path:
    """A folder with every file of docs/extending.md, and the pictures that it speaks of."""
    (tmp_path / "pictures").mkdir()
    pictures = {path.stem.split("_")[2]: path for path in sample_paths}
    for name, label in (("mastiff.jpg", "243"), ("drum.jpg", "541")):
        (tmp_path / "pictures" / name).symlink_to(pictures[label])
    for language, text in FENCE.findall(EXTENDING):
        said = re.match(r"# (\S+\.(?:py|yaml))\n", text)
        if said is not None or language == "csv":
            path = tmp_path / (said[1] if said is not None else "pictures/labels.csv")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("title", "printed"),
    [
        ("A method", ["| gradcam       | 1 |", "| gridocclusion | 1 |"]),
        ("A metric", ["| Area ↓ |", "| gradcam | 2 |"]),
        (
            "A network",
            ["mobilenet_v2 with random weights at features.18, 1 images", "| reciprocam | 1 |", "drop  complexity"],
        ),
        ("A data source", ["2 images of my_table", "top-1 100.0 %"]),
    ],
)
def test_the_examples_of_extending_work_as_pasted(title: str, printed: list[str], place: Path) -> None:
    opening, *sections = EXTENDING.split("\n## ")
    (chosen,) = [section for section in sections if section.startswith(f"{title}\n")]
    commands = [text for language, text in FENCE.findall(opening) + FENCE.findall(chosen) if language == "sh"]
    script = "".join(commands).replace("python ", f"{sys.executable} ")
    script = script.replace("--config-dir my_conf", "--config-dir my_conf runtime.bare=0")  # nothing to time
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    for words in printed:
        assert words in done.stdout


def anchors(page: Path) -> set[str]:
    """The headings of a page as a repository browser links them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {link}"
        assert ROOT in there.parents, f"{page.name}: {link} leaves the repository"
        assert not anchor or anchor in anchors(there), f"{page.name}: {link}"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in {".md", ".ipynb"}} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def test_targets_of_make_that_pages_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    targets |= {f"abscam-figure{n}" for n in range(2, 8)} | {f"reciprocam-figure{n}" for n in (1, 3, 4, 5)}
    for page in PAGES:
        named = set(re.findall(r"(?:`|\$ |^)make ([a-z][\w-]*)", page.read_text(), re.MULTILINE))
        assert named <= targets, page.name
