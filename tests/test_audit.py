"""The audit: arithmetic worked on paper, every printed cell it names, and the counts that the papers' tables give."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from camsbench import audit as command
from camsbench.tables.audit import findings, impossible, markdown
from camsbench.tables.audit.abscam import vgg16_gflop
from camsbench.tables.audit.finding import (
    HOLDS,
    IMPOSSIBLE,
    ROUNDING,
    WRONG,
    check,
    nearest_share,
    quotient,
    smallest_fitting,
)
from camsbench.tables.audit.reciprocam import adcc_bounds
from camsbench.tables.published import PrintedNumber, load


def test_the_tables_are_as_printed() -> None:
    one = load("reciprocam_table1")
    assert (len(one.lines), len(one.cells)) == (30, 210)
    assert one.cells[("ResNet-50", "SGradCAM++"), "drop"].text == "15.21"
    assert load("reciprocam_table2").cell(("ReciproCAM",), "ratio") is None
    assert load("reciprocam_table2").cells[("GradCAM",), "time_ms"] == PrintedNumber("16.0")  # not 16
    assert load("abscam_table2").decimals("insertion") == 4
    assert [len(load(name).cells) for name in ("reciprocam_table2", "abscam_table2", "abscam_table3")] == [14, 28, 14]


def test_what_rounds_to_a_number() -> None:
    assert (PrintedNumber("16.0").half, PrintedNumber("0.493").half, PrintedNumber("7").half) == pytest.approx(
        (0.05, 0.0005, 0.5)
    )
    # 16.0/13.8: 15.95/13.85 to 16.05/13.75
    assert quotient(PrintedNumber("16.0"), PrintedNumber("13.8")) == pytest.approx(
        (1.15942, 1.15162, 1.16727), abs=1e-5
    )
    assert check(PrintedNumber("1.16"), 1.159, 1.152, 1.167) == HOLDS
    assert check(PrintedNumber("1.15"), 1.159, 1.152, 1.167) == ROUNDING  # 1.152 is printed 1.15
    assert check(PrintedNumber("1.14"), 1.159, 1.152, 1.167) == IMPOSSIBLE


def test_shares_of_few_images() -> None:
    assert nearest_share(PrintedNumber("20.8"), 500, 100) == (104, True)
    assert not nearest_share(PrintedNumber("22.3"), 500, 100)[1]  # 111/500 is 22.2 %, 112/500 is 22.4 %
    assert nearest_share(PrintedNumber("0.637"), 300, 1) == (191, True)  # 0.63667
    assert nearest_share(PrintedNumber("0.589"), 300, 1) == (177, False)  # 0.59000
    assert (
        smallest_fitting([PrintedNumber("0.5"), PrintedNumber("0.33")], 1) == 6
    )  # an even number that 3 divides, so far
    assert smallest_fitting([PrintedNumber("0.333")], 1) == 3


def test_adcc_of_printed_parts() -> None:
    # all terms 0.5: the harmonic mean is 50; half a hundredth on each moves it by half a hundredth
    half = PrintedNumber("50.00")
    assert adcc_bounds(half, half, half) == pytest.approx((50, 49.995, 50.005))
    # VGG-16, GradCAM: 3/(1/0.6920 + 1/0.8435 + 1/0.3358) = 3/(1.445087 + 1.185536 + 2.977963)
    value, low, high = adcc_bounds(PrintedNumber("66.42"), PrintedNumber("69.20"), PrintedNumber("15.65"))
    assert value == pytest.approx(300 / 5.608586, abs=1e-4)
    assert low < value < high < 53.515


def test_published_adcc() -> None:
    found = [f for f in findings() if f.table == "reciprocam_table1" and f.column == "adcc"]
    assert Counter(f.verdict for f in found) == {HOLDS: 17, ROUNDING: 7, IMPOSSIBLE: 6}
    assert all(f.verdict != IMPOSSIBLE for f in found if f.keys[1] == "ReciproCAM")
    table = load("reciprocam_table1")
    off = []
    for f in found:
        parts = (table.cells[f.keys, name] for name in ("drop", "coherency", "complexity"))
        off.append(abs(adcc_bounds(*parts)[0] - table.cells[f.keys, "adcc"].value))
    assert 0.0435 < max(off) < 0.044


def test_impossible_cells() -> None:
    assert set(impossible("reciprocam_table2")) == {(("GradCAM++",), "fps")}
    assert "1000/16.2 = 61.73" in impossible("reciprocam_table2")[("GradCAM++",), "fps"]
    increase = {keys[0] for keys, column in impossible("abscam_table2") if column == "increase"}
    assert increase == {"Grad-CAM++", "Score-CAM", "Group-CAM", "Abs-CAM"}
    pointing = {keys[0] for keys, column in impossible("abscam_table3") if column == "pointing_accuracy"}
    assert pointing == set(load("abscam_table3").methods) - {"Score-CAM"}
    times = {keys[0] for keys, column in impossible("abscam_table3") if column == "time_s"}
    assert times == {"Score-CAM", "Abs-CAM"}
    assert all((keys, column) in load("reciprocam_table1").cells for keys, column in impossible("reciprocam_table1"))


def test_claims() -> None:
    wrong = {f.where for f in findings() if f.verdict == WRONG}
    assert wrong == {
        "abstract: gains over ScoreCAM in ADCC",
        "section 4.1: first and second alternate on Ins",
    }
    said = " ".join(f"{f.where} {f.printed} {f.arithmetic}" for f in findings())
    for number in (
        "ResNet-18 +1.78, ResNet-50 +2.70, ResNet-101 +2.83, ResNeXt-50 +3.72, ResNeXt-101 +5.14",
        "-1.39",
        "2039.7/16.0 = 127.48",
        "2039.7/13.8 = 147.80",
        "5500 × 513 / 22.65 = 124,570",
        "6.48/5.81 = 1.115",
        "ResNet-50, SGradCAM++, Drop and ResNet-50, SGradCAM++, Del 15.21",
    ):
        assert number in said


def test_the_cost_of_vgg16() -> None:
    assert vgg16_gflop() == pytest.approx(30.94, abs=0.01)  # 15.47 billion multiplications and as many additions


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--output", str(tmp_path / "new" / "audit.md")])
    assert capsys.readouterr().out == markdown() == (tmp_path / "new" / "audit.md").read_text()
    points = re.findall(r"^- ", markdown(), re.MULTILINE)
    assert len(points) == len(findings())


def test_the_committed_audit_is_the_command_s() -> None:
    assert (Path(__file__).parent.parent / "results" / "audit.md").read_text() == markdown()
