"""The page in a real Chromium: it is driven, and nothing of it leaves the machine."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploybench.pages import html
from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html
from deploybench.pages.page import Comparison, Page
from tests.pages import browser, made, test_hostile
from tests.records import host

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WIDE, NARROW = (1440, 900), (390, 844)
OPENED_WITHIN_S = 3.0
MANY = 10_000
MARKS = "[data-chart=latency-macs] svg .mark-symbol.role-mark"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser.started() as found:
        yield found


@pytest.fixture
def opened(chromium: Browser, page_path: Path) -> Iterator[browser.Watched]:
    """The page on a wide screen of light colours; in the end nothing was wrong with it."""
    with _opened(chromium, page_path) as watched:
        yield watched


@contextmanager
def _opened(
    chromium: Browser, path: Path, size: tuple[int, int] = WIDE, scheme: str = "light"
) -> Iterator[browser.Watched]:
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,  # type: ignore[arg-type]
        permissions=["clipboard-read", "clipboard-write"],
    )
    watched = browser.Watched(context.new_page(), path)
    yield watched
    context.close()
    assert watched.said == []
    assert watched.asked_elsewhere == []


def first_column(watched: browser.Watched, table: str = "#rows-0") -> list[str]:
    return watched.texts(f"{table} tbody tr:not(.group):not(.opened) td:first-child")


def test_sorting_orders_rows_that_are_alike_and_leaves_groups_where_they_are(
    opened: browser.Watched,
) -> None:
    groups = opened.texts("#rows-1 tr.group")
    before = first_column(opened, "#rows-1")
    assert before[:2] == ["pytorch", "onnxruntime"]
    head = opened.page.locator("#rows-1 thead button", has_text="p50 ms")
    head.click()
    assert first_column(opened, "#rows-1")[:2] == ["onnxruntime", "pytorch"]
    assert opened.texts("#rows-1 tr.group") == groups
    cell = opened.page.locator("#rows-1 thead th", has_text="p50 ms")
    assert cell.get_attribute("aria-sort") == "ascending"
    # The keyboard does the same: the button kept the focus.
    opened.page.keyboard.press("Enter")
    assert cell.get_attribute("aria-sort") == "descending"
    assert first_column(opened, "#rows-1")[:2] == ["pytorch", "onnxruntime"]
    opened.page.keyboard.press("Enter")
    assert cell.get_attribute("aria-sort") == "none"
    assert first_column(opened, "#rows-1") == before


def test_sorting_is_by_the_number_within_each_run_of_every_table(
    chromium: Browser, tmp_path: Path
) -> None:
    # As texts they would sort 10.2, 101, 2.30, 9.50; and each run has all four runners.
    times = {"pytorch": 9.5, "openvino": 101.0, "onnxruntime": 2.3, "torchscript": 10.2}
    records = []
    for run in ("20260101-000000-aaaa", "20260102-000000-bbbb"):
        for machine in ("here", "there"):
            for runner, ms in times.items():
                cell = made.visited(ms, count=16, model="net", runner=runner)
                records.append(cell.replaced(run=run, host=host(hostname=machine)))
    path = made.write_page(records, tmp_path / "sorted.html")
    fastest_first = ["onnxruntime", "pytorch", "torchscript", "openvino"]
    with _opened(chromium, path) as opened:
        for table in ("#rows-0", "#rows-1"):
            head = opened.page.locator(f"{table} thead button", has_text="p50 ms").first
            head.click()
            # Two runs stand one below the other, each in its own order: none is among the other's.
            assert first_column(opened, table) == fastest_first * 2
            opened.page.keyboard.press("Enter")
            assert first_column(opened, table) == fastest_first[::-1] * 2


def test_filter_keeps_the_rows_that_say_all_words_and_tells_how_many(
    opened: browser.Watched,
) -> None:
    status = opened.page.locator(".status")
    all_rows = int(status.inner_text().split()[0])
    opened.page.fill("input[name=find]", "large onnx")
    opened.until(lambda: status.inner_text() == f"2 of {all_rows} rows")
    assert set(first_column(opened)) == {"onnxruntime"}
    opened.page.fill("input[name=find]", "")
    opened.until(lambda: status.inner_text() == f"{all_rows} rows")
    opened.page.select_option("select[name=verdict]", "VALID")
    assert set(opened.texts("#rows-0 .badge")) == {"VALID"}


def test_column_that_is_hidden_is_in_no_copy(opened: browser.Watched) -> None:
    assert "met p50" in opened.texts("#rows-0 thead th")
    opened.page.click("details.columns summary")
    opened.page.locator("details.columns label", has_text="met p50").click()
    assert "met p50" not in opened.texts("#rows-0 thead th")
    opened.page.keyboard.press("Escape")
    assert not opened.page.locator("details.columns fieldset").is_visible()
    opened.page.click("[data-copy=csv]")
    opened.until(lambda: opened.texts("[data-copy=csv]") == ["Copied"])
    text = opened.page.evaluate("navigator.clipboard.readText()")
    header, *rows = list(csv.reader(io.StringIO(text.split("\n\n")[0])))
    assert "met p50" not in header
    assert header[0] == "model"
    assert len({len(row) for row in [header, *rows]}) == 1


def test_button_of_a_row_tells_why_and_how_to_repeat_it(opened: browser.Watched) -> None:
    button = opened.page.locator("#rows-0 button.open").first
    button.focus()
    opened.page.keyboard.press("Enter")
    row = opened.page.locator("#rows-0 tr.opened")
    assert "deploybench run" in row.inner_text()
    assert opened.page.locator("#rows-0 button.open").first.get_attribute("aria-expanded") == "true"
    opened.page.keyboard.press("Enter")
    assert row.count() == 0


def test_theme_is_chosen_kept_and_followed_by_the_charts(
    chromium: Browser, page_path: Path
) -> None:
    with _opened(chromium, page_path, scheme="dark") as opened:
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = opened.page.evaluate(ground)
        opened.drawn("latency-macs")
        mark = f"document.querySelector('{MARKS} path')"
        in_dark = opened.page.evaluate(f"{mark}.getAttribute('fill')")
        opened.page.click("[data-theme-choice=light]")
        assert opened.page.evaluate(ground) != dark
        opened.until(lambda: opened.page.evaluate(f"{mark}?.getAttribute('fill')") != in_dark)
        opened.page.reload()
        assert opened.page.evaluate(ground) != dark
        pressed = "[data-theme-choice=light]"
        assert opened.page.get_attribute(pressed, "aria-pressed") == "true"


def test_chart_changes_with_its_choice_together_with_its_words(opened: browser.Watched) -> None:
    opened.drawn("over-time")
    figure = opened.page.locator("[data-chart=over-time]")
    before = figure.locator("figcaption").inner_text()
    figure.locator("select").select_option(index=3)
    opened.until(lambda: figure.locator("figcaption").inner_text() != before)
    figure.locator("details summary").click()
    rows = figure.locator("tbody tr").count()
    assert rows == 40


def test_pointer_on_a_mark_shows_its_figures_as_text(opened: browser.Watched) -> None:
    opened.drawn("latency-macs")
    opened.page.locator("[data-chart=latency-macs] svg .mark-symbol.role-mark path").last.hover(
        force=True
    )
    tip = opened.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()
    assert "GMAC" in tip.inner_text()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_page_is_no_wider_than_the_screen_and_draws_every_chart(
    chromium: Browser, page_path: Path, size: tuple[int, int]
) -> None:
    with _opened(chromium, page_path, size) as opened:
        for chart in opened.page.locator("[data-chart]").all():
            opened.drawn(str(chart.get_attribute("data-chart")))
        assert opened.page.evaluate("document.documentElement.scrollWidth") == size[0]


EVERY_CHART = {
    *("latency-macs", "accuracy-latency", "batches", "streams", "image-size", "over-time"),
    *("warm-up", "memory", "layers"),
}


def test_names_of_cells_take_no_room_from_the_plot_on_a_narrow_screen(
    chromium: Browser, page_path: Path
) -> None:
    with _opened(chromium, page_path, NARROW) as watched:
        watched.drawn("memory")
        chart = watched.page.locator("[data-chart=memory]")
        figure = chart.locator("svg").bounding_box()
        grid = chart.locator("svg .role-axis-grid").first.bounding_box()
        assert figure is not None
        assert grid is not None
        assert grid["width"] > 0.85 * figure["width"]
        assert "small, pytorch" in (chart.locator("svg").text_content() or "")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(
    chromium: Browser, page_path: Path, scheme: str, size: tuple[int, int]
) -> None:
    if not browser.AXE.is_file():
        pytest.skip("needs axe-core: make page-tools installs it")
    with _opened(chromium, page_path, size, scheme) as opened:
        drawn = opened.page.locator("[data-chart]").all()
        assert {chart.get_attribute("data-chart") for chart in drawn} == EVERY_CHART
        for chart in opened.page.locator("[data-chart]").all():
            opened.drawn(str(chart.get_attribute("data-chart")))
        opened.page.locator("#rows-0 button.open").first.click()
        for details in opened.page.locator("details > summary").all():
            details.click()
        opened.page.evaluate(browser.AXE.read_text(encoding="utf-8"))
        found = opened.page.evaluate("axe.run()")
        serious = [
            (fault["id"], [node["html"][:120] for node in fault["nodes"]][:3])
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert found["passes"]


@pytest.mark.parametrize("kind", ["element", "end of script", "expression", "template", "formula"])
def test_hostile_words_run_nothing_and_are_copied_inert(
    chromium: Browser, tmp_path: Path, kind: str
) -> None:
    words = test_hostile.WORDS[kind]
    path = made.write_page(test_hostile.records_with(words), tmp_path / "hostile.html")
    with _opened(chromium, path) as opened:
        opened.page.on("dialog", lambda dialog: pytest.fail(f"it ran: {dialog.message}"))
        for chart in opened.page.locator("[data-chart]").all():
            opened.drawn(str(chart.get_attribute("data-chart")))
        for button in opened.page.locator("button.open").all():
            button.click()
        opened.page.locator("[data-chart=latency-macs] svg .mark-symbol.role-mark path").last.hover(
            force=True
        )
        opened.page.locator("#vg-tooltip-element.visible").wait_for()
        assert opened.page.locator("main img, main script").count() == 0
        assert words in opened.page.locator("main").inner_text()
        opened.page.click("[data-copy=markdown]")
        text = opened.page.evaluate("navigator.clipboard.readText()")
        assert "<" not in text.replace("\\<", "")
        opened.page.click("[data-copy=csv]")
        text = opened.page.evaluate("navigator.clipboard.readText()")
        assert not [
            cell for row in csv.reader(io.StringIO(text)) for cell in row if cell[:1] in ("=", "@")
        ]


def test_script_of_others_is_refused_by_the_policy_of_the_page(
    chromium: Browser, page_path: Path, tmp_path: Path
) -> None:
    text = page_path.read_text(encoding="utf-8")
    path = tmp_path / "broken-into.html"
    path.write_text(text.replace("<main>", "<main><script>window.owned = 1</script>"), "utf-8")
    context = chromium.new_context()
    watched = browser.Watched(context.new_page(), path)
    assert watched.page.evaluate("window.owned === undefined")
    assert any("Content Security Policy" in line for line in watched.said)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_printed_page_is_dark_on_white_as_wide_as_the_paper_and_keeps_its_headings(
    chromium: Browser, page_path: Path, scheme: str
) -> None:
    paper = (794, 1123)
    with _opened(chromium, page_path, paper, scheme) as opened:
        opened.page.emulate_media(media="print")
        ground = "getComputedStyle(document.querySelector('main section')).backgroundColor"
        assert opened.page.evaluate(ground) == "rgb(255, 255, 255)"
        assert opened.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert opened.page.locator("#rows-0 thead button", has_text="p50 ms").is_visible()
        assert not opened.page.locator("[data-copy=csv]").is_visible()
        assert opened.page.evaluate("document.documentElement.scrollWidth") == paper[0]


def test_data_that_are_packed_are_unpacked_by_the_page_alone(
    chromium: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "PACKED_FROM", 0)
    path = made.write_page(made.two_machines(), tmp_path / "packed.html", made.explained())
    assert 'type="application/gzip"' in path.read_text(encoding="utf-8")
    with _opened(chromium, path) as opened:
        opened.page.fill("input[name=find]", "large onnx")
        opened.until(lambda: opened.texts(".status")[0].startswith("2 of "))
        opened.drawn("layers")


def with_rows(count: int) -> Page:
    """A page whose comparison has so many rows: those of 40 records, again and again."""
    few = made.visited(2.0, count=16)
    records = []
    for number in range(40):
        cell = few.cell.replaced(model=f"net{number // 2}", batch=1 + number % 2)
        records.append(few.replaced(cell=cell))
    page = page_of(records)
    comparison = page.sections[0].blocks[0]
    assert isinstance(comparison, Comparison)
    times = count // len(comparison.alike)
    groups = []
    for number in range(times):
        for group in comparison.table.groups:
            groups.append(replace(group, title=f"{group.title} of {number}"))
    table = replace(comparison.table, groups=tuple(groups), data=comparison.table.data * times)
    many = replace(
        comparison,
        table=table,
        alike=tuple(range(len(comparison.alike) * times)),
        commands=comparison.commands * times,
    )
    section = replace(page.sections[0], blocks=(many,))
    return replace(page, sections=(section, *page.sections[1:]))


@pytest.mark.measures
def test_ten_thousand_rows_open_within_three_seconds(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "many.html"
    path.write_text(page_html(with_rows(MANY)), encoding="utf-8")
    assert path.stat().st_size < 8e6
    with _opened(chromium, path) as opened:
        began = time.monotonic()
        opened.page.reload()
        opened.until(lambda: opened.texts(".status") == [f"{MANY} rows"])
        assert time.monotonic() - began < OPENED_WITHIN_S
        began = time.monotonic()
        opened.page.locator("#rows-0 thead button", has_text="p50 ms").click()
        opened.page.fill("input[name=find]", "of 249")
        opened.until(lambda: opened.texts(".status") == [f"40 of {MANY} rows"])
        assert time.monotonic() - began < OPENED_WITHIN_S
