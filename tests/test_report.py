"""The report: its numbers against plain loops, its page against the run that it is of."""

from __future__ import annotations

import base64
import gzip
import hashlib
import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from quick import QuickRun
from scipy import stats

from camsbench import CamsbenchError, experiment, tables
from camsbench.config.compose import compose_config
from camsbench.core.columns import Column
from camsbench.report import page
from camsbench.report.__main__ import main
from camsbench.report.page.agreement import agreements
from camsbench.report.page.bands import POINTS, curves
from camsbench.report.page.choose import choose_images
from camsbench.report.page.columns import of_images, of_lines
from camsbench.report.page.lines import ReportLine, report_lines
from camsbench.report.page.packed import Packer
from camsbench.report.page.pictures import describe_map
from camsbench.report.page.standings import standings
from camsbench.report.page.table import ImageTable
from camsbench.report.saved_run import SavedRun
from camsbench.session import execute
from camsbench.store.folder import RunFolder

OPTIONS = [
    *("data.limit=4", "method=[gradcam,abscam_init,reciprocam]", "++limits.reciprocam=3"),
    *("metric=[drop,insertion,coherency,complexity,adcc,pointing]", "report.html=true"),
]
DROP, INSERTION = (
    Column("drop", "lower", title="Drop"),
    Column("insertion", "higher", title="Ins"),
)


@pytest.fixture(scope="module")
def run(quick_run: QuickRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of three methods, one of them on fewer images, with the maps of two images."""
    folder = tmp_path_factory.mktemp("report") / "run"
    quick_run(folder, *OPTIONS, "report.maps=2")
    return folder


def line(method: str, **columns: list[float]) -> ReportLine:
    count = len(next(iter(columns.values())))
    rows = pd.DataFrame({"image_id": [f"i{i}" for i in range(count)], "label": 1, "error": None, "degenerate": False})
    return ReportLine(0, "net", "rise@1", "relu", method, method, rows.assign(**columns))


def content_of(report: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="content">(.*?)</script>', report.read_text(), re.S)
    assert found
    return json.loads(found[1])


def test_the_leaderboard_is_the_summary(run: Path) -> None:
    source = SavedRun.load(run)
    columns = of_lines(of_images([source]))
    made = standings([source], report_lines([source]), columns)
    summary = tables.summarise(source.rows).set_index("method")
    assert [standing.line.method for standing in made] == ["gradcam", "abscam_init", "reciprocam"]
    assert {column.name for column in columns} == {*summary.columns} - {"n", "n_error", "n_degenerate"}
    for standing in made:
        assert standing.n == summary.loc[standing.line.method, "n"]
        for column, cell in zip(columns, standing.cells, strict=True):
            assert cell is not None
            assert cell.value == pytest.approx(summary.loc[standing.line.method, column.name], rel=1e-12)
            assert cell.low <= cell.value <= cell.high


def test_numbers_come_back_from_the_page_as_they_are_in_the_rows(run: Path) -> None:
    report = run / "report.html"
    content, rows = content_of(report), RunFolder(run).rows()
    found = re.search(r'id="packed">(.*?)</script>', report.read_text(), re.S)
    assert found
    buffer = gzip.decompress(base64.b64decode(found[1]))

    def at(place: list[Any]) -> Any:
        offset, length, form = place
        return np.frombuffer(buffer[offset : offset + length], {"f32": "f4", "i32": "i4", "u8": "u1"}[form])

    ids = buffer[content["ids"][0] :][: content["ids"][1]].decode().split("\n")
    assert ids == list(dict.fromkeys(rows["image_id"]))
    for number, own in enumerate(content["lines"]):
        expected = rows[rows["method"] == own["method"]].set_index("image_id").reindex(ids)
        for name, place in own["values"].items():
            np.testing.assert_allclose(at(place), expected[name].to_numpy(float), rtol=2e-5)
        assert (at(own["targets"]) == expected["target"].fillna(-1)).all()
        assert ((at(own["flags"]) == 1) == expected["drop"].notna()).all(), number


def test_packed_numbers_round_little_and_equal_ones_are_kept_once() -> None:
    packer, values = Packer(), np.random.default_rng(0).normal(size=1000)
    values[3], values[4] = np.nan, np.inf
    first = packer.add(values)
    assert packer.add(values.copy()) == first
    packer.add(np.array([1, 2, 3], np.uint8))
    offset, length, form = packer.add(np.array([5, -1]))
    buffer = gzip.decompress(base64.b64decode(packer.base64()))
    assert (form, offset % 4) == ("i32", 0)
    assert np.frombuffer(buffer[offset : offset + length], np.int32).tolist() == [5, -1]
    np.testing.assert_allclose(np.frombuffer(buffer[: first[1]], np.float32), values, rtol=2e-5)


def test_agreement_by_hand() -> None:
    # drop and insertion agree on every image but the last, where they are opposite, and in their means
    lines = [
        line("a", drop=[0.1, 0.1, 0.9], insertion=[0.9, 0.8, 0.9]),
        line("b", drop=[0.2, 0.5, 0.5], insertion=[0.5, 0.6, 0.5]),
        line("c", drop=[0.9, 0.9, 0.1], insertion=[0.1, 0.2, 0.1]),
    ]
    (found,) = agreements(lines, [DROP, INSERTION])
    assert found.of_images[0, 1] == pytest.approx((1 + 1 - 1) / 3)
    assert found.of_means[0, 1] == pytest.approx(1)
    assert found.of_means[1, 1] == 1
    assert found.methods == ["a", "b", "c"]


def test_agreement_is_the_mean_of_a_plain_loop() -> None:
    random = np.random.default_rng(1)
    drops, insertions = random.random((20, 4)).round(1), random.random((20, 4)).round(1)
    lines = [line(name, drop=list(drops[:, i]), insertion=list(insertions[:, i])) for i, name in enumerate("abcd")]
    (found,) = agreements(lines, [DROP, INSERTION])
    each = [stats.spearmanr(-d, i).statistic for d, i in zip(drops, insertions, strict=True) if np.ptp(d) and np.ptp(i)]
    assert found.of_images[0, 1] == pytest.approx(np.mean(each))


def test_two_methods_have_no_order_to_agree_on() -> None:
    assert agreements([line("a", drop=[0.1]), line("b", drop=[0.2])], [DROP]) == []


def test_disagreement_by_hand() -> None:
    # ranges of drop on the images 0.2 and 0.6; those of insertion 0 and 0.5; units: the 5 to 95 % range of all values
    lines = [line("a", drop=[0.2, 0.2], insertion=[0.5, 0.5]), line("b", drop=[0.4, 0.8], insertion=[0.5, 1.0])]
    table = ImageTable.of(lines)
    unit = np.subtract(*np.quantile([0.2, 0.2, 0.4, 0.8], [0.95, 0.05]))
    other = np.subtract(*np.quantile([0.5, 0.5, 0.5, 1.0], [0.95, 0.05]))
    expected = [(0.2 / unit + 0) / 2, (0.6 / unit + 0.5 / other) / 2]
    assert table.disagreement([DROP, INSERTION]) == pytest.approx(expected)


def test_worst_images_are_those_that_do_worst_and_those_that_part_most() -> None:
    drop = np.linspace(0.1, 0.6, 60)
    other = drop.copy()
    other[5] = 0.95  # the methods part
    drop[7] = other[7] = 0.99  # both do badly
    table = ImageTable.of([line("a", drop=list(drop)), line("b", drop=list(other))])
    places = choose_images(table, [DROP], "worst")
    assert len(places) == 24
    assert {5, 7} <= set(places)
    assert choose_images(table, [DROP], 3) == [0, 1, 2]
    assert len(choose_images(table, [DROP], "all")) == 60


def test_more_maps_than_a_browser_opens_are_refused() -> None:
    table = ImageTable.of([line("a", drop=[0.5] * 2001)])
    with pytest.raises(CamsbenchError, match=r"report.maps=all: the maps of 2,001 images .* or worst"):
        choose_images(table, [DROP], "all")


def test_bands_are_the_quartiles_of_the_curves(run: Path) -> None:
    source = SavedRun.load(run)
    lines = report_lines([source])
    kept = RunFolder(run).curves()
    found = curves([source], lines)
    assert {(lines[c.line].method, c.name) for c in found} == {(m, "insertion") for m in kept["method"]}
    for curve in found:
        own = kept[kept["method"] == lines[curve.line].method]
        values = np.stack(list(own["y"]))
        mean, low, high = curve.band()
        assert curve.ids == list(own["image_id"])
        np.testing.assert_allclose(mean, values.mean(0), atol=1e-6)
        np.testing.assert_allclose([low, high], np.quantile(values, [0.25, 0.75], axis=0), atol=1e-6)


def test_long_curves_are_thinned_to_their_ends(tmp_path: Path, run: Path) -> None:
    folder = RunFolder(tmp_path)
    rows = SavedRun.load(run).rows[:1].to_dict("records")
    head = {key: rows[0][key] for key in ("model", "layer", "method", "protocol", "seed", "image_id")}
    y = np.linspace(0, 1, 225)
    folder.write_part([], [], [head | {"curve": "insertion_curve", "y": y.tolist()}])
    source = SavedRun(tmp_path, SavedRun.load(run).config, pd.DataFrame(rows))
    (found,) = curves([source], report_lines([source]))
    assert found.values.shape == (1, POINTS)
    assert found.values[0, [0, -1]].tolist() == [0, 1]
    np.testing.assert_allclose(np.diff(found.values[0]), 4 / 224, rtol=1e-4)


def test_a_finished_run_gives_the_same_report_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(run), "--output", str(tmp_path / "again.html")]) == 0
    assert capsys.readouterr().out == f"report: {tmp_path / 'again.html'}\n"
    assert (tmp_path / "again.html").read_bytes() == (run / "report.html").read_bytes()


def test_maps_that_were_not_kept_are_explained_again(run: Path, quick_run: QuickRun, tmp_path: Path) -> None:
    kept = {path.relative_to(run / "maps"): path.read_bytes() for path in (run / "maps").rglob("*.png")}
    assert len(kept) == 2 * 3
    bare = tmp_path / "bare"
    quick_run(bare, *OPTIONS)
    assert not (bare / "maps").exists()
    assert main([str(bare), "report.maps=2"]) == 0
    assert {path.relative_to(bare / "maps"): path.read_bytes() for path in (bare / "maps").rglob("*.png")} == kept
    assert main([str(bare), "report.maps=all"]) == 0
    pictures = json.loads(re.search(r'id="pictures">(.*?)</script>', (bare / "report.html").read_text(), re.S)[1])  # type: ignore[index]
    assert [len(images["0"]["maps"]) for images in pictures["images"].values()] == [3, 3, 3, 2]  # the limit holds


def test_the_chart_library_is_what_its_script_makes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "scripts"))
    script = importlib.import_module("vendor_charts")
    library = (script.VENDOR / script.LIBRARY).read_bytes()
    assert hashlib.sha256(library).hexdigest() == script.SHA256
    assert f"Apache ECharts {script.VERSIONS['echarts']} (Apache-2.0" in library[:200].decode()
    assert all((script.VENDOR / name).is_file() for name in script.LICENCES)
    assert library.decode() in (run / "report.html").read_text()  # whole, with its licences
    assert not re.search(rb"\beval\(|new Function|importScripts|XMLHttpRequest|\bfetch\(", library)


def test_the_page_loads_nothing_and_runs_nothing_of_the_data(run: Path, tmp_path: Path) -> None:
    text = (run / "report.html").read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", re.sub(r"<script>.*</script>", "", text, flags=re.S))
    source = SavedRun.load(run)
    rows = source.rows.assign(image_id=source.rows["image_id"] + "</script><b>", error=None)
    rows.loc[0, "error"] = "<img src=x onerror=alert(1)>"
    page.write(page.ReportInput([SavedRun(run, source.config, rows)], []), tmp_path / "x.html")
    assert "<img src=x" not in (tmp_path / "x.html").read_text()
    assert "</script><b>" not in (tmp_path / "x.html").read_text()


def test_two_runs_stand_beside_each_other_under_names_of_their_own(
    run: Path, quick_run: QuickRun, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    quick_run(other, *OPTIONS, "method=gradcam", "seed=1", "report.html=false")
    assert not (other / "report.html").exists()
    assert main([str(run), str(other), "--output", str(tmp_path / "both.html")]) == 0
    content = content_of(tmp_path / "both.html")
    labels = [own["label"] for own in content["lines"]]
    assert labels == ["gradcam (run)", "abscam_init", "reciprocam", "gradcam (other)"]
    assert content["runs"] == ["run", "other"]


def test_an_experiment_has_its_published_table_and_can_be_written_again(tmp_path: Path) -> None:
    top = tmp_path / "table"
    overrides = ["experiment=abscam_table2", "smoke=true", "data.limit=2", "method=[gradcam,abscam_init]"]
    overrides += ["metric=[drop,increase]", "runtime.bare=0", "runtime.device=cpu", f"output='{top}'"]
    experiment.execute(compose_config(overrides), overrides)
    first = (top / "report.html").read_text()
    assert "Abs-CAM (Zeng et al. 2022), Table 2: published and measured" in first
    assert "This is a smoke run" in first
    printed = pd.read_csv(top / "table.csv", dtype={"published": str})
    for text in printed["published"].dropna():
        assert f">{text}" in first
    measured = printed[(printed["measured_method"] == "gradcam") & (printed["column"] == "drop")]["measured"].iloc[0]
    assert f"{measured:.1f}" in first
    assert not list(top.glob("*/report.html"))  # the runs' own say less
    assert main([str(top)]) == 0
    assert (top / "report.html").read_text() == first


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere holds no run"),
        (["RUN", "report.maps=some"], "report.maps=some: give a number of images from 0 up, all or worst"),
        (["RUN", "report.mops=3"], "report.mops=3: there is no such option"),
        (["report.maps=3"], "name the folder of at least one run"),
    ],
)
def test_refusals(arguments: list[str], sentence: str, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run) if argument == "RUN" else argument for argument in arguments]) == 1
    assert sentence in capsys.readouterr().err


def test_a_wrong_choice_of_maps_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(CamsbenchError, match=r"report.maps=-1: give a number"):
        execute(compose_config(["report.maps=-1", f"output='{tmp_path / 'run'}'"]))
    assert not (tmp_path / "run").exists()


def test_a_map_in_words() -> None:
    saliency = np.zeros((10, 20))
    saliency[2, 15] = 1
    assert describe_map(saliency) == "strongest 78 % from the left and 25 % from the top; 0 % of the image above half"
    assert describe_map(np.zeros((4, 4))) == "the same everywhere (degenerate)"


def test_a_session_of_fewer_images_is_no_unfinished_run(quick_run: QuickRun, tmp_path: Path) -> None:
    for limit in (3, 1):
        quick_run(tmp_path, "metric=[complexity]", "report.html=true", f"data.limit={limit}")
    assert "not finished" not in (tmp_path / "report.html").read_text()
    assert content_of(tmp_path / "report.html")["images"] == 1
