"""The project page is built without a warning, and works in a browser that opens it from disk."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.pages import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest.importorskip("furo", reason='needs pip install "deploybench[docs]"')
pytest.importorskip("myst_parser", reason='needs pip install "deploybench[docs]"')

ROOT = Path(__file__).parents[2]
WIDE, NARROW = (1440, 900), (390, 844)
LOOKED_AT = ["index", "commands/run", "results", "architecture", "zoo", "reference"]
"""A page of each kind."""


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What ``make docs`` calls."""
    options = ["-q", "-W", "--keep-going", "-n", "-b", "html", "-c", str(ROOT / "docs/site")]
    command = [sys.executable, "-m", "sphinx", *options, str(source), str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole site, built as ``make docs`` builds it."""
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return out


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.started() as found:
        yield found


@contextmanager
def opened(
    chromium: Browser, path: Path, size: tuple[int, int] = WIDE, scheme: str = "light"
) -> Iterator[browser.Watched]:
    """A page of the site; in the end nothing was wrong with it."""
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    watched = browser.Watched(context.new_page(), path)
    yield watched
    context.close()
    assert watched.said == []
    assert watched.asked_elsewhere == []


def reference() -> Any:
    """The extension that reads commands and names from the code."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/site/reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_makefile_builds_what_is_tested_here() -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").split("\ndocs:")[1].split("\n\n")[0]
    assert "sphinx -q -W --keep-going -n -b html -c docs/site docs build/site" in recipe


def test_every_command_has_a_page_with_all_of_its_options(site: Path) -> None:
    commands = reference()
    for path in commands.leaves():
        html = (site / "commands" / f"{path[0]}.html").read_text("utf-8")
        text = unescape(re.sub(r"<[^>]+>", "", html))
        for parameter in commands.command_of(path).params:
            for name in parameter.opts:
                if name.startswith("--") and not getattr(parameter, "hidden", False):
                    assert name in text, f"{' '.join(path)}: {name}"


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    import deploybench
    from deploybench import contracts

    html = (site / "reference.html").read_text("utf-8")
    for module in (deploybench, contracts):
        for name in module.__all__:
            assert f'id="{module.__name__}.{name}"' in html


def test_pages_that_somebody_forgot_to_list_are_listed_all_the_same(site: Path) -> None:
    front = (site / "index.html").read_text("utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html"' in front or page.stem == "index"


FAULTS = {
    "[a](nowhere.md)": "nowhere",
    "[a](#no-heading)": "no-heading",
    "```{options}\ndeploybench measure --help\n```": "deploybench has no command measure",
    "```{embedded} gone.html\n```": "there is no ",
    "```mermaid\npie\n```": "no pie is drawn",
    "```{options}\ndeploybench run --help\n```": "shows the options of 'deploybench export'",
}
"""What a page may have wrong, and what the build says of it. The last is right, but alone."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """A site of one page with every fault."""
    source = tmp_path_factory.mktemp("broken")
    (source / "index.md").write_text("\n\n".join(["# Title", *FAULTS]))
    return build(source, source / "out")


@pytest.mark.parametrize("words", FAULTS.values())
def test_what_leads_nowhere_fails_the_build(
    broken: subprocess.CompletedProcess[str], words: str
) -> None:
    assert broken.returncode != 0
    assert words in broken.stderr
    assert "shows the options of 'deploybench run'" not in broken.stderr


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_pages_are_no_wider_than_the_screen_and_ask_nothing_of_the_network(
    chromium: Browser, site: Path, size: tuple[int, int]
) -> None:
    for name in LOOKED_AT:
        with opened(chromium, site / f"{name}.html", size) as page:
            assert page.page.evaluate("document.documentElement.scrollWidth") == size[0], name


def test_search_finds_words_in_a_site_that_is_opened_from_disk(
    chromium: Browser, site: Path
) -> None:
    with opened(chromium, site / "index.html") as page:
        page.page.fill("input[name=q]", "DRIFTING")
        page.page.keyboard.press("Enter")
        page.page.wait_for_selector("#search-results li a")
        page.until(lambda: "What the numbers mean" in " ".join(page.texts("#search-results li a")))


@pytest.mark.parametrize(
    ("report", "model", "rows"), [("report-example", "resnet50", 3), ("report-study", "xca", 3)]
)
def test_report_is_embedded_and_works_there(
    chromium: Browser, site: Path, report: str, model: str, rows: int
) -> None:
    with opened(chromium, site / "results.html") as page:
        page.page.locator(f"iframe[title={report}]").scroll_into_view_if_needed()
        frame = page.page.frame_locator(f"iframe[title={report}]")
        frame.locator("input[name=find]").fill(model)
        page.until(lambda: frame.locator(".status").inner_text().startswith(f"{rows} of "))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_picture_of_the_table_follows_the_colours(
    chromium: Browser, site: Path, scheme: str
) -> None:
    with opened(chromium, site / "index.html", scheme=scheme) as page:
        shown = [
            image.get_attribute("src") or ""
            for image in page.page.locator("article img").all()
            if image.is_visible()
        ]
        assert [Path(source).name for source in shown] == [f"table-{scheme}.svg"]


RULES = {"light": "{}", "dark": "{runOnly: ['color-contrast', 'image-alt']}"}
"""What axe looks for. In the dark, colours and pictures are others; the rest is the same page."""


@pytest.mark.parametrize("scheme", RULES)
def test_axe_finds_no_serious_fault(chromium: Browser, site: Path, scheme: str) -> None:
    if not browser.AXE.is_file():
        pytest.skip("needs axe-core: make page-tools installs it")
    serious = []
    for name in LOOKED_AT:
        with opened(chromium, site / f"{name}.html", scheme=scheme) as page:
            page.page.evaluate(browser.AXE.read_text(encoding="utf-8"))
            # The report has a test of its own; style sheets would be fetched, from disk.
            found = page.page.evaluate(
                f"axe.run({{exclude: ['iframe']}}, {{preload: false, ...{RULES[scheme]}}})"
            )
            assert found["passes"]
        serious += [
            (name, fault["id"], [node["html"][:120] for node in fault["nodes"]][:3])
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
    assert serious == []
