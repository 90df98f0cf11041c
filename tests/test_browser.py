"""The report in a real browser, as its reader meets it: no console error, nothing loaded, keys, filters, a phone."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page
from quick import FULL, QuickRun

from camsbench.store.folder import RunFolder

pytestmark = pytest.mark.browser
SCRIPTS = Path(__file__).parent.parent / "scripts"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}
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
    label = page.locator("#distribution svg").get_attribute("aria-label")
    page.locator("#distribution-metric").select_option("insertion")
    assert page.locator("#distribution svg").get_attribute("aria-label") != label
    lines = page.locator("#curve polyline")
    assert lines.count() == 3
    page.locator("#curve button", has_text="gradcam").click()
    assert lines.count() == 2
    assert page.locator("#time-chart circle").count() == 3
    everything = page.locator("#pairs-table tbody tr:visible").count()
    page.locator("#pairs-metric").select_option("drop")
    assert 0 < page.locator("#pairs-table tbody tr:visible").count() < everything


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
    widths = phone.evaluate(
        "[...document.querySelectorAll('.chart > svg')].map((s) => s.getBoundingClientRect().width)"
    )
    assert all(280 <= width <= PHONE["width"] for width in widths if width)


def test_pictures_have_words_and_controls_have_names(page: Page) -> None:
    page.locator("#image-table tbody button").first.click()
    page.wait_for_function("document.querySelectorAll('#view canvas').length === 3")
    every = "[...document.querySelectorAll('img, canvas, button, select, input, svg[role=img], dialog')]"
    named = "['alt', 'aria-label', 'aria-labelledby'].some((a) => e.getAttribute(a))"
    nameless = f"{every}.filter((e) => !({named} || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    assert page.evaluate(nameless) == []
    label = page.locator("#view canvas").first.get_attribute("aria-label")
    assert label is not None
    assert label.startswith("map of gradcam: strongest ")
