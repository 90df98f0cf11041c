"""The run folder: what a crash between two files leaves is not taken for a result."""

from __future__ import annotations

from pathlib import Path

from camsbench.data.record import Record
from camsbench.store.folder import RunFolder
from camsbench.store.schema import CURVE

HEAD = {"model": "m", "layer": "l", "method": "gradcam", "protocol": "rise@1", "seed": 0}


def row(image: str, **values: object) -> dict[str, object]:
    return {**HEAD, "image_id": image, "label": 1, **values}


def curve(image: str, y: list[float]) -> dict[str, object]:
    return {**HEAD, "image_id": image, "curve": "insertion_curve", "y": y}


def opened(path: Path) -> RunFolder:
    folder = RunFolder(path)
    with folder.locked():
        folder.open({"seed": 0}, {}, "")
        folder.write_manifest([Record("a", Path("a.jpg"), 1), Record("b", Path("b.jpg"), 1)])
    return folder


def test_curves_come_back_with_what_identifies_their_row(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write_part([row("a", insertion=0.5)], ["insertion"], [curve("a", [0.0, 0.5, 1.0])])
    found = folder.curves()
    assert list(found.columns) == list(CURVE)
    assert found["image_id"].tolist() == ["a"]
    assert found["y"][0].tolist() == [0.0, 0.5, 1.0]


def test_a_run_without_curves_has_an_empty_table_of_them(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write_part([row("a", drop=0.5)], ["drop"])
    assert folder.curves().empty
    assert list(folder.curves().columns) == list(CURVE)
    assert not (tmp_path / "curves").exists()


def test_curves_whose_rows_never_came_go_when_the_run_goes_on(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write_part([row("a", insertion=0.5)], ["insertion"], [curve("a", [0.0, 1.0])])
    folder.write_part([row("b", insertion=0.5)], ["insertion"], [curve("b", [0.0, 1.0])])
    (tmp_path / "rows" / "part-00000-02.parquet").unlink()  # as if killed between the two files
    assert set(opened(tmp_path).curves()["image_id"]) == {"a"}


def test_an_image_that_failed_has_no_curve_to_forget(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    folder.write_part([row("a", insertion=0.5), row("b", error="bad")], ["insertion"], [curve("a", [0.0, 1.0])])
    folder.forget_errors()
    assert folder.done() == {("a", "gradcam", "l")}
    assert len(folder.curves()) == 1
