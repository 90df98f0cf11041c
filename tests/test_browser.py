"""The report in a real browser, as its reader meets it: no console error, nothing loaded, keys, filters, a phone."""

from __future__ import annotations

import importlib
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import Browser, Error, Page
from quick import FULL, QuickRun

from camsbench.store.folder import RunFolder

pytestmark = pytest.mark.browser
SCRIPTS = Path(__file__).parent.parent / "scripts"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}
COLOURS = ["#0072b2", "#e69f00", "#009e73"]  # of the three methods
CHARTS = ("#distribution", "#curve", "#time-chart", "#ranking")
POINTS = "#time-chart .plot path[stroke-width^='0.18']"
OPTIONS = [
    *("method=[gradcam,abscam_init,reciprocam]", "metric=[drop,insertion,complexity]"),
    *("data=ilsvrc2012", "data.check=0", "report.maps=3", "report.html=true", *FULL),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser; where none is to be had the tests are skipped, but not in continuous integration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        browser = importlib.import_module("benching.browser").browser()
        try:
            started = browser.__enter__()
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no Chromium: install one, or name it with CAMSBENCH_BROWSER=PATH ({error.message[:60]})")
        yield started
        browser.__exit__(None, None, None)


@pytest.fixture(scope="module")
def run(quick_run: QuickRun, tmp_path_factory: pytest.TempPathFactory, sample_paths: list[Path]) -> Path:
    """A real run of thirty images, of which one cannot be read; three of them show their maps."""
    top = tmp_path_factory.mktemp("browser")
    chosen = sorted(sample_paths)[:10]
    for copy in range(3):
        for path in chosen:
            folder = top / "images" / path.stem.split("_")[2]
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{path.stem}_{copy}.jpg").write_bytes(path.read_bytes())
    (folder / f"{path.stem}_2.jpg").write_bytes(path.read_bytes()[:200])
    quick_run(top / "run", *OPTIONS, f"data.root='{top / 'images'}'")
    return top / "run"


@pytest.fixture
def page(chromium: Browser, run: Path) -> Iterator[Page]:
    """The report, open on a desk's screen; at the end nothing has complained, and nothing was loaded."""
    yield from _opened(chromium, run, viewport=DESK)


@pytest.fixture
def phone(chromium: Browser, run: Path) -> Iterator[Page]:
    yield from _opened(chromium, run, viewport=PHONE, color_scheme="dark", has_touch=True)


def _opened(chromium: Browser, run: Path, **options: Any) -> Iterator[Page]:
    context = chromium.new_context(**options)
    opened = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))
    report = (run / "report.html").as_uri()
    opened.goto(report)
    opened.wait_for_function("document.documentElement.dataset.ready === 'true'")
    yield opened
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [report]
    context.close()


def column(page: Page, table: str, place: int) -> list[str]:
    return [text.split("\n")[0] for text in page.locator(f"{table} tbody tr > *:nth-child({place})").all_inner_texts()]


def images(page: Page) -> list[str]:
    return page.locator("#image-table tbody button").all_inner_texts()


def texts(page: Page, chart: str) -> list[str]:
    """What is written in a chart's drawing: the numbers of its axes, and names."""
    return page.locator(f"{chart} .plot svg text").all_text_contents()


def wait_until_drawn(page: Page) -> None:
    """A chart is drawn in the frame after what changes it: on a loaded machine a reader may be faster."""
    frame = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(f"() => {frame}.then(() => null)")


def ticks(page: Page, chart: str) -> list[str]:
    """The numbers along a chart's axes, and where they stand: a zoom changes them, and reset puts them back."""
    wait_until_drawn(page)
    where = "(texts) => texts.map((t) => `${t.textContent} ${t.getAttribute('transform') ?? t.getAttribute('x')}`)"
    written: list[str] = page.locator(f"{chart} .plot svg text").evaluate_all(where)
    return sorted(text for text in written if re.match(r"[-\d]", text))


def hover(page: Page, chart: str, across: float, down: float) -> list[list[str]]:
    """The cells that are said where the mouse is, at shares of the chart's width and height."""
    plot = page.locator(f"{chart} .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
    rows = page.locator(f"{chart} .hint tr")
    rows.first.wait_for()
    return [row.locator("td").all_inner_texts() for row in rows.all()]


def found(page: Page) -> str:
    return page.locator("#found").inner_text().split(".")[0]


def test_the_leaderboard_sorts_by_any_column(page: Page) -> None:
    assert column(page, "#standings", 1) == ["gradcam", "abscam_init", "reciprocam"]
    page.get_by_role("button", name="Drop ↓").click()
    drops = [float(text) for text in column(page, "#standings", 5)]
    assert drops == sorted(drops)  # the better end first
    head = page.locator("#standings th", has_text="Drop")
    assert head.get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Enter")
    assert [float(text) for text in column(page, "#standings", 5)] == drops[::-1]
    page.get_by_role("button", name="method", exact=True).click()
    assert column(page, "#standings", 1) == ["abscam_init", "gradcam", "reciprocam"]


def test_images_are_found_by_class_error_and_disagreement(page: Page) -> None:
    assert found(page) == "30 of 30 images"
    page.keyboard.press("/")
    page.keyboard.type("folding chair")
    assert found(page) == "3 of 30 images"
    page.get_by_role("button", name="clear").click()
    page.get_by_label("errors").check()
    assert found(page) == "1 of 30 images"
    assert page.locator("#image-table .tag").inner_text() == "error"
    page.get_by_label("errors").uncheck()
    page.get_by_label("with maps").check()
    assert found(page) == "3 of 30 images"
    page.get_by_label("with maps").uncheck()
    page.get_by_label("Methods part").select_option("0.5")
    assert 12 <= int(found(page).split()[0]) <= 18
    page.get_by_label("Methods part").select_option("0")
    page.get_by_label("degenerate maps").check()
    assert found(page) == "0 of 30 images"


def test_images_sort_by_a_metric_of_a_method(page: Page, run: Path) -> None:
    page.locator("#sort-metric").select_option("drop")
    page.get_by_label("Sort by the value of").select_option(label="reciprocam")
    page.get_by_label("descending").check()
    rows = RunFolder(run).rows()
    rows = rows[rows["method"] == "reciprocam"].sort_values("drop", ascending=False, kind="stable", na_position="last")
    assert images(page) == list(rows["image_id"][:25])
    page.get_by_role("button", name="next →").click()
    assert images(page) == list(rows["image_id"][25:])


def test_the_large_view_by_keyboard(page: Page) -> None:
    page.locator("#image-table tbody button").first.focus()
    page.keyboard.press("Enter")
    view = page.locator("#view")
    first = view.locator("h2").inner_text()
    assert view.locator("canvas").count() == 3
    page.wait_for_function("document.querySelector('#view canvas').width > 0")
    colours = "[...document.querySelector('#view canvas').getContext('2d').getImageData(0, 0, 224, 224).data]"
    page.wait_for_function(f"new Set({colours}).size > 50")
    before = page.evaluate(colours)
    page.get_by_label("Colours").select_option("viridis")
    page.wait_for_function(f"JSON.stringify({colours}) !== '{before}'.replaceAll(' ', '')")
    assert view.get_by_role("heading", name="insertion").count() == 1
    assert view.locator("tbody tr", has=page.locator("th", has_text="reciprocam")).count() >= 1
    page.locator("#close").focus()
    page.keyboard.press("ArrowRight")
    assert view.locator("h2").inner_text() != first
    page.keyboard.press("ArrowLeft")
    assert view.locator("h2").inner_text() == first
    page.keyboard.press("Escape")
    assert not view.is_visible()
    assert page.evaluate("document.activeElement.closest('tr')?.dataset.image") == "0"  # back where one was


def test_the_scores_of_the_large_view_are_the_rows(page: Page, run: Path) -> None:
    page.locator("#image-table tbody tr").nth(1).click()
    name = page.locator("#view-title").inner_text().split(" – ")[0]
    heads = page.locator("#view [aria-label=Scores] thead th").all_inner_texts()
    rows = RunFolder(run).rows()
    rows = rows[rows["image_id"] == name].set_index("method")
    for line in page.locator("#view [aria-label=Scores] tbody tr").all():
        cells = line.locator("th, td").all_inner_texts()
        row = rows.loc[cells[0].strip()]
        for title, key in (("Drop ↓", "drop"), ("Ins ↑", "insertion"), ("probability", "probability")):
            assert float(cells[heads.index(title)]) == pytest.approx(100 * row[key], abs=0.006)


def test_an_image_that_failed_says_why(page: Page) -> None:
    page.get_by_label("errors").check()
    page.locator("#image-table tbody button").click()
    assert "cannot read" in page.locator("#view .warning").inner_text()


def test_charts_follow_their_choice(page: Page) -> None:
    label = page.locator("#distribution [role=img]").get_attribute("aria-label")
    assert label is not None
    assert re.search(r"gradcam median \d.*abscam_init median \d.*reciprocam median \d", label)
    page.locator("#distribution-metric").select_option("insertion")
    assert page.locator("#distribution [role=img]").get_attribute("aria-label") != label
    lines = page.locator("#curve .plot path[fill=none][stroke-width='2']")
    assert [line.get_attribute("stroke") for line in lines.all()] == COLOURS
    page.locator("#curve button", has_text="gradcam").click()
    assert [line.get_attribute("stroke") for line in lines.all()] == COLOURS[1:]
    bands = page.locator("#curve .plot path[fill-opacity='0.12']")
    assert bands.count() == 2
    page.get_by_label("bands").uncheck()
    assert bands.count() == 0
    assert [point.get_attribute("fill") for point in page.locator(POINTS).all()] == COLOURS
    assert set(texts(page, "#time-chart")) >= {"gradcam", "abscam_init", "reciprocam"}
    everything = page.locator("#pairs-table tbody tr:visible").count()
    page.locator("#pairs-metric").select_option("drop")
    assert 0 < page.locator("#pairs-table tbody tr:visible").count() < everything


def test_hovering_says_what_the_rows_say(page: Page, run: Path) -> None:
    rows = RunFolder(run).rows()
    methods = ["gradcam", "abscam_init", "reciprocam"]

    page.locator("#distribution-metric").select_option("drop")
    said = hover(page, "#distribution", 0.5, 0.5)
    assert said[0] == ["", "images", "median", "middle half"]
    assert [row[0] for row in said[1:]] == methods
    for method, _, median, half in said[1:]:
        low, middle, high = 100 * rows[rows["method"] == method]["drop"].quantile([0.25, 0.5, 0.75])
        assert float(median) == pytest.approx(middle, rel=0.006)
        assert [float(end) for end in half.split(" to ")] == pytest.approx([low, high], rel=0.006)

    said = hover(page, "#curve", 0.5, 0.5)
    assert page.locator("#curve .hint b").inner_text() == "insertion at 50 % of the steps"
    curves = RunFolder(run).curves()
    for method, mean, half in said[1:]:
        values = np.stack(list(curves[curves["method"] == method]["y"]))
        at = values[:, (values.shape[1] - 1) // 2]
        assert float(mean) == pytest.approx(at.mean(), abs=0.0006)
        assert [float(end) for end in half.split(" to ")] == pytest.approx(np.quantile(at, [0.25, 0.75]), abs=0.0006)

    page.locator("#time-metric").select_option("drop")
    page.locator("#time-chart").scroll_into_view_if_needed()
    places = [point.bounding_box() for point in page.locator(POINTS).all()]  # first: a point changes when it is hovered
    for place, method in zip(places, methods, strict=True):
        assert place is not None
        page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        page.locator("#time-chart .hint td", has_text=method).wait_for()
        said = [row.locator("td").all_inner_texts() for row in page.locator("#time-chart .hint tr").all()]
        own = rows[rows["method"] == method]
        assert said[1][:2] == [method, f"{100 * own['drop'].mean():.3g}"]
        number, unit = said[1][2].split()
        seconds = float(number) * {"s": 1, "ms": 1e-3, "µs": 1e-6}[unit]
        assert seconds == pytest.approx(max(1e-5, own["seconds"].median()), rel=0.006)


def test_how_sure_a_ranking_is(page: Page, run: Path) -> None:
    """Mean ranks, P(best) and ranks are those of ranking.csv, best first; the bars are a critical difference long."""
    ranking = pd.read_csv(run / "ranking.csv")
    page.locator("#ranking-metric").select_option(label="Compl")
    own = ranking[ranking["column"] == "complexity"].sort_values("mean_rank")
    label = page.locator("#ranking .plot").get_attribute("aria-label")
    assert label is not None
    order = ", ".join(f"{row.method} {row.mean_rank:.2f}" for row in own.itertuples())
    assert label.endswith(f"1 is the best: {order}")
    said = hover(page, "#ranking", 0.5, 0.2)
    first = own.iloc[0]
    ranks = f"{first['rank_low']} to {first['rank_high']}"
    assert said[1] == [first["method"], f"{first['mean_rank']:.2f}", f"{100 * first['p_best']:.0f} %", ranks]
    assert f"Critical difference of mean ranks: {first['critical_difference']:.2f}" in page.inner_text("#ranking-note")
    table = page.locator("#metrics table").first.inner_text()
    assert {"Drop", "Ins", "Compl"} <= set(re.findall(r"^\w+", table, re.M))


@pytest.mark.parametrize("chart", CHARTS)
def test_charts_zoom_by_buttons_keys_and_wheel(page: Page, chart: str) -> None:
    whole, plot = ticks(page, chart), page.locator(f"{chart} .plot")
    closer, wider, reset = (
        page.locator(f"{chart} [aria-label='{name}']") for name in ("Zoom in", "Zoom out", "Reset zoom")
    )
    assert reset.is_disabled()
    closer.click()
    zoomed = ticks(page, chart)
    assert zoomed != whole
    closer.click()
    assert ticks(page, chart) != zoomed
    wider.click()
    wider.click()
    assert ticks(page, chart) == whole  # all of it again
    assert reset.is_disabled()

    plot.focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    zoomed = ticks(page, chart)
    assert zoomed != whole
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert ticks(page, chart) != zoomed
    page.keyboard.press("0")
    assert ticks(page, chart) == whole

    plot.hover() if chart in ("#time-chart", "#ranking") else hover(page, chart, 0.5, 0.4)
    page.mouse.wheel(0, -100)  # scrolls the page
    page.wait_for_timeout(200)
    assert ticks(page, chart) == whole
    plot.hover()
    page.keyboard.down("Control")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Control")
    page.wait_for_function("(b) => !document.querySelector(b).disabled", arg=f"{chart} [aria-label='Reset zoom']")
    assert ticks(page, chart) != whole
    reset.focus()
    page.keyboard.press("Enter")
    assert ticks(page, chart) == whole
    assert page.evaluate("document.activeElement.ariaLabel") == "Zoom in"  # the focus is not lost with the button


@pytest.mark.parametrize("chart", CHARTS)
def test_a_chart_is_saved_as_a_picture(page: Page, chart: str, tmp_path: Path) -> None:
    for kind in ("PNG", "SVG"):
        with page.expect_download() as download:
            page.locator(chart).get_by_role("button", name=f"Save as {kind}").click()
        assert re.fullmatch(rf"run-[\w-]+\.{kind.lower()}", download.value.suggested_filename)
        download.value.save_as(tmp_path / kind)
    svg = ET.parse(tmp_path / "SVG").getroot()
    assert svg.tag == "{http://www.w3.org/2000/svg}svg"
    words = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"gradcam", "abscam_init", "reciprocam"} <= words  # without the page's legend too
    picture = Image.open(tmp_path / "PNG")
    assert picture.format == "PNG"
    assert picture.size == (2 * int(svg.attrib["width"]), 2 * int(svg.attrib["height"]))
    colours = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)
    assert {"#ffffff", COLOURS[0]} <= {f"#{bytes(colour).hex()}" for colour in colours}


def test_charts_follow_the_theme(page: Page) -> None:
    colours = "(c) => [...document.querySelectorAll(`${c} .plot svg text`)].map((t) => getComputedStyle(t).fill)"
    light = [page.evaluate(colours, chart) for chart in CHARTS]
    page.locator("#curve [aria-label='Zoom in']").click()
    zoomed = ticks(page, "#curve")
    page.keyboard.press("t")
    wait_until_drawn(page)
    dark = [page.evaluate(colours, chart) for chart in CHARTS]
    assert all(set(a).isdisjoint(b) for a, b in zip(light, dark, strict=True))
    assert {"rgb(232, 234, 237)", "rgb(163, 171, 180)"} == {colour for chart in dark for colour in chart}
    assert ticks(page, "#curve") == zoomed
    page.keyboard.press("t")
    page.locator("#curve [aria-label='Reset zoom']").click()
    wait_until_drawn(page)
    assert [page.evaluate(colours, chart) for chart in CHARTS] == light


def test_charts_of_the_large_view_zoom_before_they_turn_its_pages(page: Page) -> None:
    page.locator("#image-table tbody button").first.click()
    name, plot = page.locator("#view-title").inner_text(), page.locator("#view .plot").first
    whole = ticks(page, "#view .chart")
    plot.focus()
    page.keyboard.press("+")
    zoomed = ticks(page, "#view .chart")
    assert zoomed != whole
    page.keyboard.press("ArrowRight")
    assert page.locator("#view-title").inner_text() == name
    page.keyboard.press("0")
    assert ticks(page, "#view .chart") == whole
    page.keyboard.press("ArrowRight")  # nothing to move: the next image
    assert page.locator("#view-title").inner_text() != name


def test_light_and_dark_and_help_by_key(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.keyboard.press("t")
    assert page.evaluate(ground) != light
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#keys").is_visible()


def test_a_phone_shows_all_of_it(phone: Page) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") == PHONE["width"]  # only tables scroll sideways
    assert phone.evaluate("document.documentElement.dataset.theme") == "dark"
    phone.locator("#image-table tbody button").first.tap()
    box = phone.locator("#view").bounding_box()
    assert box is not None
    assert box["width"] == PHONE["width"]
    assert phone.evaluate("document.querySelector('#view-body').scrollWidth") <= PHONE["width"]
    widths = phone.evaluate("[...document.querySelectorAll('.plot svg')].map((s) => s.getBoundingClientRect().width)")
    assert len(widths) == 5
    assert all(280 <= width <= PHONE["width"] for width in widths)


def test_names_in_charts_do_not_overlap_on_a_phone(phone: Page) -> None:
    """Neither one another nor their chart's edge, and text keeps its size."""
    measured = """(chart) => [...document.querySelectorAll(`${chart} .plot svg text`)].map((t) => {
      const { left, right, top, bottom } = t.getBoundingClientRect();
      return [left, right, top + 2, bottom - 2, parseFloat(getComputedStyle(t).fontSize)]; })"""
    for chart in CHARTS:
        boxes = phone.evaluate(measured, chart)
        assert len(boxes) > 5
        assert {size for *_, size in boxes} == {12}
        assert all(left >= 0 and right <= PHONE["width"] for left, right, *_ in boxes)
        for i, (left, right, top, bottom, _) in enumerate(boxes):
            for other in boxes[:i]:
                assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top


def test_pictures_have_words_and_controls_have_names(page: Page) -> None:
    page.locator("#image-table tbody button").first.click()
    page.wait_for_function("document.querySelectorAll('#view canvas').length === 3")
    every = "[...document.querySelectorAll('img, canvas, button, select, input, [role=img], [role=group], dialog')]"
    named = "['alt', 'aria-label', 'aria-labelledby'].some((a) => e.getAttribute(a))"
    nameless = f"{every}.filter((e) => !({named} || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    assert page.evaluate(nameless) == []
    label = page.locator("#view canvas").first.get_attribute("aria-label")
    assert label is not None
    assert label.startswith("map of gradcam: strongest ")
