"""A Chromium that is on this machine, driven by playwright; without a network of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
VARIABLE = "DEPLOYBENCH_CHROMIUM"
AXE = Path(__file__).parents[2] / "build/axe/node_modules/axe-core/axe.min.js"
PATIENCE_MS, STEP_MS = 8_000, 40
QUIET = (
    "--no-sandbox",  # the tests may run as root, in a container
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str | None:
    """The path of a Chromium, or None."""
    named = os.environ.get(VARIABLE)
    if named:
        return named
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def started() -> Iterator[Browser]:
    """A browser; skips with the reason where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
    path = chromium()
    if path is None:
        pytest.skip(f"needs a Chromium: make page-tools installs one, or set {VARIABLE}")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page that remembers what it said on its console, and what it asked of any network."""

    def __init__(self, page: Page, path: Path) -> None:
        self.page = page
        self.said: list[str] = []
        self.asked: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.set_default_timeout(PATIENCE_MS)
        page.goto(path.as_uri())

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds. (The page's policy lets playwright's own way of waiting, a text that
        is evaluated, not run.)"""
        for _ in range(PATIENCE_MS // STEP_MS):
            if holds():
                return
            self.page.wait_for_timeout(STEP_MS)
        pytest.fail("it did not come to be")

    @property
    def asked_elsewhere(self) -> list[str]:
        """What was asked beyond the file itself."""
        return [url for url in self.asked if not url.startswith(("file:", "data:"))]

    def texts(self, selector: str) -> list[str]:
        return self.page.locator(selector).all_inner_texts()

    def drawn(self, key: str) -> None:
        """Scroll to a chart, and wait until it is there."""
        self.page.locator(f"[data-chart='{key}']").scroll_into_view_if_needed()
        self.page.wait_for_selector(f"[data-chart='{key}'] .plot[data-drawn] svg")
