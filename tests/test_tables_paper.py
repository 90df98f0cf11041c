"""Rows beside published tables: numbers worked on paper, layouts, and the rows of a real run."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from handmade import rows
from quick import QuickRun

from camsbench import tables
from camsbench.config.compose import compose_config
from camsbench.errors import CamsbenchError
from camsbench.store.folder import RunFolder
from camsbench.tables.latex import escape
from camsbench.tables.paper import OTHER_MACHINE

TABLE1 = {
    "published": "reciprocam_table1",
    "models": {"VGG-16": "vgg16"},
    "methods": {"GradCAM": ["gradcam", "gradcam_other"], "ReciproCAM": "reciprocam"},
}


def only(comparison: tables.Comparison, **where: str) -> dict[str, Any]:
    """The one line of the long table with these values."""
    long = comparison.long
    for name, value in where.items():
        long = long[long[name] == value]
    (line,) = long.to_dict("records")
    return {str(key): value for key, value in line.items()}


def test_percent_beside_the_printed_value() -> None:
    given = rows("gradcam", drop=0.6642, increase=[0.0, 0, 0, 1], coherency=0.75, complexity=0.5)
    compared = tables.compare(TABLE1, given)
    drop = only(compared, measured_method="gradcam", column="drop")
    assert (drop["published"], drop["verdict"], drop["n"]) == ("66.42", "agrees", 4)
    assert (drop["measured"], drop["low"], drop["high"]) == pytest.approx((66.42, 66.42, 66.42))
    increase = only(compared, measured_method="gradcam", column="increase")
    assert (increase["measured"], increase["difference"]) == pytest.approx((25, 25 - 5.92))
    assert (increase["low"], increase["high"]) == (0, 75)  # of four images with one rise, drawn again
    adcc = only(compared, measured_method="gradcam", column="adcc")
    assert adcc["measured"] == pytest.approx(300 / (1 / 0.75 + 2 + 1 / 0.3358))
    assert adcc["verdict"] == "impossible as printed"  # 53.52 is not what its own parts give
    missing = only(compared, measured_method="gradcam", column="deletion")  # no such column in the rows
    assert (missing["verdict"], missing["n"]) == ("not measured", 0)
    assert math.isnan(missing["measured"])
    assert only(compared, backbone="VGG-16", method="ScoreCAM", column="drop")["verdict"] == "not measured"
    assert set(compared.long[compared.long["backbone"] == "ResNet-18"]["measured_method"]) == {""}
    assert len(compared.long) == 210  # each published cell once: one measured line beside each at most


def test_failed_rows_and_degenerate_maps_are_counted() -> None:
    given = rows("gradcam", drop=[0.2, 0.4, 0.6, float("nan")])
    given.loc[3, "error"] = "the image is broken"
    given.loc[0, "degenerate"] = True
    line = only(tables.compare(TABLE1, given), measured_method="gradcam", column="drop")
    assert (line["n"], line["n_error"], line["n_degenerate"]) == (3, 1, 1)
    assert line["measured"] == pytest.approx(40)


def test_lines_beside_each_other_and_lines_that_the_paper_lacks() -> None:
    given = pd.concat([rows(name, drop=0.5) for name in ("fakecam", "reciprocam", "gradcam_other", "gradcam")])
    other = rows("gradcam", model="resnet50", drop=0.1)
    long = tables.compare(TABLE1, pd.concat([given, other])).long
    drop = long[(long["column"] == "drop") & (long["measured_method"] != "")]
    assert list(zip(drop["method"], drop["measured_method"], strict=True)) == [
        ("GradCAM", "gradcam"),  # the spec's order
        ("GradCAM", "gradcam_other"),
        ("ReciproCAM", "reciprocam"),
        ("", "fakecam"),
        ("", "gradcam"),  # the network that the spec does not name: measured only
    ]
    assert list(drop["verdict"]) == ["differs"] * 3 + ["not published"] * 2
    assert list(drop["backbone"])[-2:] == ["VGG-16", ""]


def test_each_row_under_the_protocol_that_made_it() -> None:
    given = pd.concat(
        [rows("gradcam", protocol=f"{name}@1", drop=drop) for name, drop in (("poppi", 0.1), ("byun", 0.9))]
    )
    both = tables.compare(TABLE1, given).long
    assert set(both[both["measured_method"] == "gradcam"]["protocol"]) == {"poppi@1", "byun@1"}
    for chosen in ("byun", "byun@1", ["byun"]):
        one = tables.compare({**TABLE1, "protocols": {"gradcam": chosen}}, given)
        assert only(one, measured_method="gradcam", column="drop")["measured"] == pytest.approx(90)
    assert "`gradcam byun@1`" in tables.compare(TABLE1, given).markdown()  # two lines of one name are told apart


def test_several_seeds_of_an_image_are_one_image() -> None:
    again = rows("gradcam", drop=[0.4, 0.4, 0.4, 0.4]).assign(seed=1)
    given = pd.concat([rows("gradcam", drop=[0.0, 0.2, 0.4, 0.6]), again])
    line = only(tables.compare(TABLE1, given), measured_method="gradcam", column="drop")
    assert (line["measured"], line["n"]) == pytest.approx((35, 4))


def test_times_are_of_this_machine_and_ratios_are_not() -> None:
    given = pd.concat(
        [rows("reciprocam", time=[0.010, 0.010, 0.010, 0.5]), rows("gradcam", time=[0.020, 0.010, 0.012, 0.012])]
    )
    spec = {"published": "reciprocam_table2", "methods": {"ReciproCAM": ["reciprocam"], "GradCAM": ["gradcam"]}}
    compared = tables.compare(spec, given)
    time = only(compared, measured_method="gradcam", column="time_ms")
    assert (time["measured"], time["verdict"], time["reason"]) == (pytest.approx(12), "not comparable", OTHER_MACHINE)
    assert only(compared, measured_method="gradcam", column="fps")["measured"] == pytest.approx(1 / 0.012)
    ratio = only(compared, measured_method="gradcam", column="ratio")
    assert (ratio["measured"], ratio["verdict"]) == (pytest.approx(1.2), "agrees")  # printed 1.16
    assert only(compared, measured_method="reciprocam", column="ratio")["published"] == ""
    assert only(compared, method="GradCAM++", column="fps")["verdict"] == "impossible as printed"
    here = tables.compare({**spec, "same_machine": True}, given)
    assert only(here, measured_method="gradcam", column="time_ms")["verdict"] == "agrees"  # 16.0 in [10, 20]


def test_other_columns_and_statistics() -> None:
    given = rows("gradcam", pointing_energy=[1.0, 0, 0, 0], pointing=1.0, time=0.002)
    spec = {"published": "abscam_table3", "methods": {"Grad-CAM": ["gradcam"]}, "incomparable": "20 other images"}
    plain = only(tables.compare(spec, given), measured_method="gradcam", column="pointing_accuracy")
    assert (plain["measured"], plain["verdict"]) == (1, "impossible as printed")
    seconds = only(tables.compare(spec, given), measured_method="gradcam", column="time_s")
    assert (seconds["measured"], seconds["reason"]) == (pytest.approx(11), "20 other images")  # 5500 × 0.002
    unequal = pd.concat([given, given.iloc[:1].assign(image_id="more", pointing_energy=1.0)])  # label 0 has 3 images
    chosen = {"pointing_accuracy": {"column": "pointing_energy", "statistic": "class_mean"}}
    compared = tables.compare({**spec, "columns": chosen}, unequal)
    line = only(compared, measured_method="gradcam", column="pointing_accuracy")
    assert line["measured"] == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"published": "table9"}, "table.published=table9: it must be one of reciprocam_table1"),
        ({"model": {}}, "table: 'model' is not one of .*did you mean models"),
        ({"methods": {"Grad-CAM": "gradcam"}}, "table.methods: 'Grad-CAM' .* did you mean GradCAM"),
        ({"models": {"VGG16": "vgg16"}}, "table.models: 'VGG16' .* did you mean VGG-16"),
        ({"columns": {"pointing": "pointing"}}, "table.columns: 'pointing' is not one of drop"),
        ({"columns": {"drop": {"statistic": "mode"}}}, "table.columns.drop.statistic: 'mode' is not one of mean"),
    ],
)
def test_a_wrong_spec_says_what_is_wrong(change: dict[str, Any], said: str) -> None:
    with pytest.raises(CamsbenchError, match=said):
        tables.compare({**TABLE1, **change}, rows("gradcam", drop=0.5))


def test_no_rows_yet() -> None:
    compared = tables.compare(TABLE1, rows("gradcam", drop=0.5).iloc[:0])
    assert len(compared.long) == 210
    assert "Not measured: VGG-16, ResNet-18" in compared.markdown()
    assert compared.latex().count(r"\begin{") == 2


def test_a_table_of_one_network_wants_one() -> None:
    two = pd.concat([rows("gradcam", drop=0.5), rows("gradcam", model="resnet50", drop=0.1)])
    spec = {"published": "abscam_table2", "methods": {"Grad-CAM": ["gradcam"]}}
    with pytest.raises(CamsbenchError, match="vgg16, resnet50 stand beside it: name the one"):
        tables.compare(spec, two)
    named = tables.compare({**spec, "models": {"VGG-16": "vgg16"}}, two).long
    published = named[(named["column"] == "drop") & (named["published"] != "") & (named["measured_method"] != "")]
    assert list(published["model"]) == ["vgg16"]
    with pytest.raises(CamsbenchError, match=r"published is missing"):
        tables.compare({}, two)


def test_pages() -> None:
    given = pd.concat([rows("gradcam", drop=[0.6, 0.7, 0.8, 0.7], adcc=0.5), rows("fake_cam", drop=0.1)])
    compared = tables.compare(TABLE1, given)
    page = compared.markdown()
    lines = [" ".join(line.split()) for line in page.splitlines()]
    published = next(i for i, line in enumerate(lines) if line.startswith("| GradCAM | published | 66.42 | 5.92 |"))
    assert lines[published + 1].startswith("| `gradcam` | measured | 70.00 ✓ | – |")
    assert lines[published + 2].startswith("| | 95 % | [6")
    assert "Not measured: ResNet-18, ResNet-50, ResNet-101, ResNeXt-50, ResNeXt-101." in page
    assert any(line.startswith("| VGG-16 | GradCAM | gradcam | drop | 66.42 | 70.00 | +3.58 | [6") for line in lines)
    tex = compared.latex()
    assert r"\quad\texttt{gradcam} & 70.00\,$\checkmark$ & --" in tex
    assert r"\texttt{fake\_cam}" in tex
    assert tex.count(r"\begin{") == tex.count(r"\end{") == 2
    body = tex[tex.index(r"\toprule") : tex.index(r"\bottomrule")]
    cells = [line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line]
    assert {line.count(" & ") for line in cells} == {7}
    assert escape("50 % of a_b & {c} ~ ^ # $ \\") == (
        r"50 \% of a\_b \& \{c\} \textasciitilde{} \textasciicircum{} \# \$ \textbackslash{}"
    )
    assert pd.read_csv(io.StringIO(compared.csv()))["n"].max() == 4


def test_the_intervals_are_seeded() -> None:
    given = rows("gradcam", n=20, drop=[i * i / 400 for i in range(20)])
    first, again, other = (tables.compare(TABLE1, given, seed).csv() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_real_run_beside_the_papers(quick_run: QuickRun, tmp_path: Path) -> None:
    """The same numbers as the run's own summary, with the published ones beside them."""
    chosen = ["method=[gradcam,reciprocam,fakecam]", "metric=[drop,increase,coherency,complexity,adcc]", "data.limit=4"]
    outcome = quick_run(tmp_path / "run", *chosen)
    model = compose_config([]).model.name
    spec = {**TABLE1, "models": {"ResNet-50": model}, "incomparable": "another network, on 4 images"}
    compared = tables.compare(spec, RunFolder(outcome.path).rows())
    for summary in outcome.summary.to_dict("records"):
        for column in ("drop", "increase", "coherency", "complexity", "adcc"):
            line = only(compared, measured_method=summary["method"], column=column)
            assert line["measured"] == pytest.approx(100 * summary[column], abs=1e-4)
            assert line["low"] <= line["measured"] + 1e-9
            assert line["verdict"] == ("not published" if summary["method"] == "fakecam" else "not comparable")
    assert "not comparable" in compared.markdown()
