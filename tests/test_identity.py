"""What a run goes on with: the same images wherever they lie, the same code; others are refused or run anew."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import textwrap
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image, ImageFilter
from quick import QuickRun

from camsbench import CamsbenchError
from camsbench.data import fingerprint, imagenet
from camsbench.run.code import _without_words, own_code, plugin_code
from camsbench.store.environment import Environment

CHOSEN = ["metric=[drop]", "method=[gradcam]", "data=ilsvrc2012", "data.check=0"]


@pytest.fixture
def clean(tmp_path: Path, sample_paths: list[Path]) -> Path:
    for path in sample_paths[:4]:
        folder = tmp_path / "clean" / path.stem.split("_")[2]
        folder.mkdir(parents=True)
        shutil.copy(path, folder)
    return tmp_path / "clean"


def changed(clean: Path, to: Path, blur: float = 4.0, files: int = 99) -> Path:
    """A copy under the same names, of which the first ``files`` are blurred, as ImageNet-C keeps its severities."""
    shutil.copytree(clean, to)
    for path in sorted(to.glob("*/*"))[:files]:
        with Image.open(path) as picture:
            picture.filter(ImageFilter.GaussianBlur(blur)).save(path, quality=90)
    return to


def test_other_images_of_the_same_names_are_another_run(
    quick_run: QuickRun, clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blurred = changed(clean, tmp_path / "blurred")
    monkeypatch.chdir(tmp_path)
    first = quick_run(Path(), *CHOSEN, f"data.root={clean}", "output=null")
    second = quick_run(Path(), *CHOSEN, f"data.root={blurred}", "output=null")
    assert first.path != second.path
    assert abs(first.summary["drop"] - second.summary["drop"]).max() > 0.01
    with pytest.raises(CamsbenchError, match=r"holds a run of other images of the same names: 4 of those .*output="):
        quick_run(first.path, *CHOSEN, f"data.root={blurred}")
    moved = quick_run(Path(), *CHOSEN, f"data.root={clean.rename(tmp_path / 'moved')}", "output=null")
    assert moved.path == first.path  # the same images elsewhere


def test_one_changed_image_is_found_by_its_length(quick_run: QuickRun, clean: Path, tmp_path: Path) -> None:
    quick_run(tmp_path / "run", *CHOSEN, f"data.root={clean}", "data.limit=2")
    one = changed(clean, tmp_path / "one", files=1)
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    environment["images"] = {}  # as where it is none of those that are looked at
    (tmp_path / "run" / "environment.json").write_text(json.dumps(environment))
    with pytest.raises(
        CamsbenchError, match=r"had \d+ bytes and now has \d+ bytes: the data changed \(1 of 2 images\)"
    ):
        quick_run(tmp_path / "run", *CHOSEN, f"data.root={one}", "data.limit=2")


def test_other_boxes_are_found(quick_run: QuickRun, clean: Path, tmp_path: Path) -> None:
    chosen = [*CHOSEN[1:], "metric=[pointing]", f"data.root={clean}", f"data.boxes={tmp_path}/boxes"]
    (tmp_path / "boxes").mkdir()
    first = sorted(clean.glob("*/*"))[0].stem

    def write(side: int) -> None:
        box = f"<xmin>0</xmin><ymin>0</ymin><xmax>{side}</xmax><ymax>{side}</ymax>"
        xml = f"<annotation><object><bndbox>{box}</bndbox></object></annotation>"
        (tmp_path / "boxes" / f"{first}.xml").write_text(xml)

    write(100)
    quick_run(tmp_path / "run", *chosen)
    quick_run(tmp_path / "run", *chosen)
    write(90)
    with pytest.raises(CamsbenchError, match=rf"{first} had boxes of the hash .* now has .*\(1 of 4 images\)"):
        quick_run(tmp_path / "run", *chosen)


def test_the_same_images_in_a_tar_go_on(quick_run: QuickRun, clean: Path, tmp_path: Path) -> None:
    quick_run(tmp_path / "run", *CHOSEN, f"data.root={clean}", "data.limit=2")
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for path in sorted(clean.glob("*/*")):
            tar.add(path, path.name)
            label = tarfile.TarInfo(f"{path.stem}.cls")
            label.size = len(path.parent.name)
            tar.addfile(label, io.BytesIO(path.parent.name.encode()))
    rows = quick_run(tmp_path / "run", *CHOSEN, f"data.root={tmp_path}/shard.tar").rows
    assert len(rows) == 4
    manifest = pd.read_csv(tmp_path / "run" / "manifest.csv").set_index("image_id")
    assert manifest["bytes"].to_dict() == {path.stem: path.stat().st_size for path in clean.glob("*/*")}


def test_a_fingerprint_reads_a_few_images_of_many(clean: Path, tmp_path: Path) -> None:
    (picture,) = clean.glob("243/*")
    for number in range(300):
        place = tmp_path / "many" / "7" / f"{number:03}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(picture)
    records = imagenet.find(str(tmp_path / "many"))
    assert len(records) == 300
    sampled = fingerprint.sample(records)
    assert list(sampled)[:3] == ["000", "018", "037"]  # spread over all
    assert len(sampled) == fingerprint.READ
    assert fingerprint.changed(sampled, records, {}) == []
    for number in (0, 18):
        place = tmp_path / "many" / "7" / f"{number:03}.jpg"
        place.unlink()
        place.write_bytes(b"other")
    assert fingerprint.changed(sampled, records, {}) == ["000", "018"]
    (tmp_path / "many" / "7" / "000.jpg").unlink()
    assert next(iter(fingerprint.sample(records))) == "018"  # another stands in for what cannot be read


PLUGIN = """
    from dataclasses import dataclass
    from typing import ClassVar
    from {helpers} import power

    @dataclass(frozen=True)
    class Powered:
        needs: ClassVar = frozenset()
        def __call__(self, split, forward):
            return (forward.A ** power).sum(1)
"""


@pytest.mark.parametrize("package", [True, False])
@pytest.mark.parametrize("helpers", ["mine.helpers", ".helpers", "mine_helpers"])
def test_an_edited_plug_in_is_another_run(helpers: str, package: bool, tmp_path: Path) -> None:
    """Also where a helper was edited that it imports from its own package, or that lies beside it."""
    folder = tmp_path / "plugins"
    (folder / "mine").mkdir(parents=True)
    if package:
        (folder / "mine" / "__init__.py").write_text("from .cam import Powered\n")
    (folder / "mine" / "cam.py").write_text(textwrap.dedent(PLUGIN.format(helpers=helpers)))
    helper = folder / "mine_helpers.py" if helpers == "mine_helpers" else folder / "mine" / "helpers.py"
    script = (
        "import json; from camsbench.run.code import plugin_code;"
        "print(json.dumps(plugin_code({'method': {'mine': {'_target_': 'TARGET'}, 'gradcam':"
        " {'_target_': 'camsbench.methods.gradcam.GradCAM'}}})))"
    )

    script = script.replace("TARGET", "mine.Powered" if package else "mine.cam.Powered")

    def code(power: int) -> dict[str, str]:
        helper.write_text(f"power = {power}\n")
        made = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONPATH": f"{folder}:{':'.join(filter(None, sys.path))}", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        found: dict[str, str] = json.loads(made.stdout)
        return found

    first = code(1)
    assert list(first) == ["method.mine"]
    assert code(1) == first
    assert code(2) != first


def test_code_is_part_of_what_a_run_is(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "environment.json")
    environment.begin({"seed": 0, "code.method.mine": "aa"}, {"camsbench": "1", "code": {"method.rise": "x"}}, {})
    environment.refuse_mixing({"seed": 0, "code.method.mine": "aa"})
    with pytest.raises(
        CamsbenchError, match=r"code\.method\.mine was aa and is bb, its source: the plug-in was edited"
    ):
        environment.refuse_mixing({"seed": 0, "code.method.mine": "bb"})
    assert environment.code_changes() == []
    environment.begin({"seed": 0}, {"camsbench": "2", "code": {"method.rise": "y", "method.gradcam": "z"}}, {})
    (said,) = environment.code_changes()
    assert "method.rise: camsbench's own code changed since rows of this run were made (by camsbench 1)" in said


def test_words_are_no_code(tmp_path: Path) -> None:
    one, two, other = (tmp_path / f"{name}.py" for name in ("one", "two", "other"))
    one.write_text('"""Of one."""\n\nx = 1  # why\n\n\ndef f() -> str:\n    """Say."""\n    return "a # b"\n')
    two.write_text('"""Of\ntwo."""\nx = 1\ndef f() -> str:\n    return "a # b"\n')
    other.write_text('x = 1\ndef f() -> str:\n    return "a # c"\n')
    assert _without_words(one) == _without_words(two) != _without_words(other)


def test_own_code_is_that_of_a_method_and_what_it_calls() -> None:
    cam = {"_target_": "camsbench.methods.gradcam.GradCAM"}
    nested = {"_target_": "camsbench.methods.generative_perturbation.X", "inpainter": {"_target_": "mine.Inpainter"}}
    found = own_code({"method": {"a": cam, "b": {**cam, "more": 1}, "c": nested}, "metric": {}})
    assert list(found) == ["method.a", "method.b", "method.c"]
    assert found["method.a"] == found["method.b"] != found["method.c"]
    assert plugin_code({"method": {"a": cam}}) == {}
