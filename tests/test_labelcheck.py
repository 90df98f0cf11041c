"""Labels in the right order and in wrong ones: said in words, before a run begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from quick import FULL, QuickRun

from camsbench import CamsbenchError, check
from camsbench.core.preprocess import Preprocess
from camsbench.data.checks import Agreement, agreement
from camsbench.data.classes import wnids
from camsbench.data.embedded import samples
from camsbench.data.loader import Picture, read
from camsbench.data.record import Record
from camsbench.models.split import TorchSplit

WNIDS = sorted(wnids(), key=lambda wnid: wnids()[wnid])


def folders(root: Path, shift: int = 0) -> Path:
    """The sample images in folders by wnid; with a shift, in those of other classes."""
    for record in samples():
        link = root / WNIDS[(record.labels[0] + shift) % 1000] / f"{record.image_id}.jpg"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(str(record.source))
    return root


def test_the_network_agrees_with_labels_in_order(full_lite0: TorchSplit) -> None:
    found = agreement(full_lite0, samples(), 100, 75.1)
    assert (found.right, found.images) == (18, 20)
    assert found.sentence() == "top-1 90.0 % on 20 images, published 75.1 %: the labels are in order"
    shifted = [replace(record, label=(record.labels[0] + 1) % 1000) for record in samples()]
    wrong = agreement(full_lite0, shifted, 100, 75.1)
    assert wrong.wrong
    assert wrong.right == 0
    assert "wrong label order" in wrong.sentence()


def test_images_are_spread_over_the_data(lite0: TorchSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(record: Record, preprocess: Preprocess) -> Picture:
        seen.append(record.image_id)
        return read(record, preprocess)

    monkeypatch.setattr("camsbench.data.loader.read", watched)
    records = samples()
    assert agreement(lite0, records, 4, None).images == 4
    assert seen == [records[place].image_id for place in (0, 5, 10, 15)]


@pytest.mark.parametrize(
    ("right", "images", "published", "says"),
    [
        (19, 19, 75.0, "too few images"),
        (5, 20, None, "nothing is published"),
        (5, 20, 75.0, "far below"),  # 25 %, a third
        (4, 20, 75.0, "wrong label order"),
        (120, 200, 75.0, "far below"),  # 60 %: 4.9 standard errors of 3.06 points
        (130, 200, 75.0, "in order"),  # 65 %: 3.3
        (0, 0, 75.0, "too few images"),
    ],
)
def test_verdicts(right: int, images: int, published: float | None, says: str) -> None:
    assert says in Agreement(right, images, published).sentence()


def test_the_command_says_layout_counts_and_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main([str(folders(tmp_path / "right"))]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "layout: wnid, labels from the folders' wnids"
    assert said[2].startswith("images: 20 of 19 classes, 1 to 2 a class")
    assert any(line.endswith("243  bull mastiff") for line in said)
    assert said[-1].endswith("top-1 90.0 % on 20 images, published 75.1 %: the labels are in order")
    assert check.main([str(folders(tmp_path / "wrong", shift=1))]) == 1
    assert "wrong label order" in capsys.readouterr().out
    assert check.main([str(tmp_path / "right"), "--images", "0"]) == 0
    assert "top-1" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "camsbench.check: data.root=nowhere: there is no such folder"),
        (["{}", "--layout", "parquet"], "nothing of the layout parquet"),
        (["{}", "--model", "resnet18", "--weights", "none.pth"], "none.pth"),
    ],
)
def test_a_wrong_argument_is_one_sentence(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders(tmp_path / "images")
    assert check.main([word.format(tmp_path / "images") for word in arguments]) == 1
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_a_run_on_wrong_labels_does_not_begin(quick_run: QuickRun, tmp_path: Path) -> None:
    wrong = folders(tmp_path / "wrong", shift=7)
    chosen = [
        "data=ilsvrc2012",
        f"data.root={wrong}",
        "metric=[complexity]",
        *FULL,
    ]  # what is published is of 224 pixels
    with pytest.raises(CamsbenchError, match=r"wrong label order.*camsbench\.check PATH, or go on .*data\.check=0"):
        quick_run(tmp_path / "run", *chosen)
    assert not list((tmp_path / "run" / "rows").iterdir())
    outcome = quick_run(tmp_path / "run", *chosen, "data.limit=1", "data.check=0")
    assert len(outcome.rows) == 1
    assert quick_run(tmp_path / "run", *chosen, "data.limit=2").errors == 0  # it goes on: its labels were accepted
    with pytest.raises(CamsbenchError, match=r"data\.check=-1: give a number of images"):
        quick_run(tmp_path / "other", *chosen, "data.check=-1")
