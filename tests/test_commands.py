"""The small commands: one image explained, the choices listed, misspelt names answered."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from camsbench import CamsbenchError, ls
from camsbench.classnames import class_index, class_name
from camsbench.nearest import nearest
from camsbench.show import main, show


def test_a_picture_is_explained(sample_paths: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "maps.png"
    code = main([str(sample_paths[0]), "method=[gradcam,reciprocam]", "--output", str(out)])
    printed = capsys.readouterr().out.splitlines()
    assert code == 0
    assert len(printed) == 6
    assert "243  bull mastiff  <- explained" in printed[0]
    shares = [float(line.split()[0]) for line in printed[:5]]
    assert shares == sorted(shares, reverse=True)
    assert 50 < shares[0] <= 100
    assert printed[5] == f"maps: {out}"
    drawn = np.asarray(Image.open(out).convert("RGB"))
    assert drawn.shape[1] > 2 * drawn.shape[0]  # the picture and two maps beside each other
    assert drawn.std() > 30


def test_another_class_gives_another_map(sample_paths: list[Path], tmp_path: Path) -> None:
    made = [show(sample_paths[0], ["method=gradcam"], t, tmp_path / f"{t}.png") for t in (None, "zebra", "243")]
    assert [one.target for one in made] == [243, 340, 243]
    predicted, zebra, same = (np.asarray(Image.open(one.path).convert("RGB")).astype(float) for one in made)
    assert (predicted == same).all()
    assert predicted.shape != zebra.shape or np.abs(predicted - zebra).max() > 50


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.jpg"], "none.jpg: there is no such picture"),
        (["text.jpg"], "text.jpg: cannot read text.jpg: UnidentifiedImageError"),
        (["PHOTO", "--target", "zebrra"], "class 'zebrra': no class of ImageNet has this name; near are zebra"),
        (["PHOTO", "--target", "1000"], "class 1000: the network has classes 0 to 999"),
        (["PHOTO", "method=gradcm"], "method/gradcm"),
        (["PHOTO", "model.layer=bn9"], "has no layer 'bn9'"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str],
    sentence: str,
    sample_paths: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.jpg").write_text("no picture")
    assert main([str(sample_paths[0]) if one == "PHOTO" else one for one in arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("camsbench.show: ")
    assert sentence in line


def test_classes_by_name() -> None:
    assert class_index("zebra") == class_index("Zebra ") == class_index("340") == class_index("n02391049") == 340
    assert class_index("Tinca tinca") == 0
    assert all(class_name(class_index(str(index))) for index in range(1000))
    with pytest.raises(CamsbenchError, match=r"'crane' is the name of several: give the index, one of 134 .*517 "):
        class_index("crane")
    with pytest.raises(CamsbenchError, match="this network's classes have no names here; give an index"):
        class_index("zebra", 10)


@pytest.mark.parametrize("group", ls.GROUPS)
def test_every_choice_is_listed_with_a_line(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ls.main([group]) == 0
    lines = capsys.readouterr().out.splitlines()
    files = {path.stem for path in (ls.CONF / ls.GROUPS[group]).glob("*.yaml")}
    assert {line.split()[0] for line in lines} == files
    assert all(len(line.split()) > 2 for line in lines), "a choice without a word about it"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["method=gradcm"], "method=gradcm: there is no such choice; near are gradcam"),
        (["method=[abscam,recipcam]"], "method=recipcam: there is no such choice; near are reciprocam"),
        (["-m", "model=resnet50,resnt18"], "model=resnt18: there is no such choice; near are resnet18"),
        (["runtime/executor=rya"], "runtime/executor=rya: there is no such choice; near are ray"),
        (["runtime.batchsize=3"], "runtime.batchsize: there is no such option; near are runtime.batch_size"),
        (["metric=insertion", "metric.insertion.step=5"], "near are metric.insertion.steps"),
        (["limit=5"], "limit: there is no such option; near are limits, data.limit"),
    ],
)
def test_misspelt_names_are_answered_with_the_nearest(arguments: list[str], sentence: str) -> None:
    (said,) = nearest(arguments)
    assert sentence in said


def test_right_names_are_not_spoken_of() -> None:
    assert nearest(["method=[gradcam,abscam]", "+limits.gradcam=5", "data.limit=3", "-m", "seed=1,2"]) == []


def test_the_command_line_says_the_nearest_last(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "camsbench", "metric.drop.formla=x"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        .splitlines()[-1]
        .startswith("camsbench: metric.drop.formla: there is no such option; near are metric.drop.formula")
    )
