"""A headless Chromium: the system's, or Playwright's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
READY = "document.documentElement.dataset.ready === 'true'"


def executable() -> str | None:
    """The browser: ``CAMSBENCH_BROWSER``, or the first of the system's; None leaves the choice to Playwright."""
    named = os.environ.get("CAMSBENCH_BROWSER")
    return named or next((path for name in NAMES if (path := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def opened(chromium: Browser, report: Path) -> float:
    """Seconds from the navigation until the report says that it is ready, in a new profile."""
    page = chromium.new_page()
    try:
        return visit(page, report)
    finally:
        page.close()


def visit(page: Page, report: Path) -> float:
    """Open a report in a page; the seconds until it is ready, by the page's own clock."""
    page.goto(report.resolve().as_uri())
    page.wait_for_function(READY, timeout=60_000)
    return float(page.evaluate("performance.getEntriesByName('ready')[0].startTime")) / 1000
