"""How a report of very many records opens and feels: its size, how long until it can be used, what
a sort, a filter and a copy take, and how long the frames of a scroll are, in a real Chromium.

    python -m benchmarks.report_at_scale [--records 10000] [--page FILE] [--screens DIR]

Records are composed from the real ones of docs/example-run: each is one of them under a model's
name of its own, the times of its summary multiplied by a random factor (those of its visits are
shared), spread over runs and machines.
``--page FILE`` keeps the page; where it is there already it is opened as it is. The process ends
with 1 where a figure misses what is promised: 8 MB, 3 s, and 100 ms for a frame that is noticed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploybench.analysis import speedups
from deploybench.analysis.speedups import Speedup
from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html
from deploybench.results.record import Record, Summary
from deploybench.results.store import read_records

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[1]
MACHINES, RUNS = 2, 5
OF_A_ROW = re.compile(r"(?<![.\d])\d{1,2}(?![.\d])")
"""Figures in a reason: every record has a reason of its own."""
SPREAD = 0.7
"""Of the logarithms of the factors: models of a zoo differ by so much."""
MOST_BYTES = 8e6
USABLE_WITHIN_S = 3.0
SLOWEST_FRAME_MS = 100.0
"""A pause from here on is noticed (RAIL: responses within 100 ms feel immediate)."""
OPENED = 3
SCREENS = {"wide": {"width": 1440, "height": 900}, "narrow": {"width": 390, "height": 844}}

SORT = """async ([table, title]) => {
  const heads = [...document.querySelectorAll(`${table} thead button`)];
  const began = performance.now();
  heads.find((head) => head.textContent === title).click();
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
}"""
FILTER = """async ([words]) => {
  const field = document.querySelector("input[name=find]");
  const status = document.querySelector(".status");
  const before = status.textContent;
  field.value = words;
  const began = performance.now();
  field.dispatchEvent(new Event("input", { bubbles: true }));
  while (status.textContent === before) await new Promise((done) => setTimeout(done, 4));
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - began;
}"""
SCROLL = """async ([frames]) => {
  const lengths = [];
  let last = await new Promise(requestAnimationFrame);
  const step = document.documentElement.scrollHeight / frames;
  for (let frame = 0; frame < frames; frame += 1) {
    scrollBy(0, step);
    const now = await new Promise(requestAnimationFrame);
    lengths.push(now - last);
    last = now;
  }
  scrollTo(0, 0);
  return lengths;
}"""


@dataclass(frozen=True)
class Figure:
    """One line of the result; ``most`` is what was promised, None where nothing was."""

    what: str
    value: float
    unit: str
    most: float | None = None

    @property
    def kept(self) -> bool:
        return self.most is None or self.value <= self.most


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--page", type=Path, help="where the page is kept, or lies already")
    parser.add_argument("--screens", type=Path, help="also take pictures of the first screens")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        path = asked.page or Path(temporary) / "report.html"
        figures = []
        if not path.exists():
            compare_each_pair_once()
            began = time.monotonic()
            records = list(composed(asked.records))
            read_s = time.monotonic() - began
            path.write_text(page_html(page_of(records)), encoding="utf-8")
            figures.append(Figure("records composed", read_s, "s"))
            figures.append(Figure("page made of them", time.monotonic() - began - read_s, "s"))
        figures.append(
            Figure("size of the page", path.stat().st_size / 1e6, "MB", MOST_BYTES / 1e6)
        )
        figures += looked_at(path, asked.screens)
    for figure in figures:
        promised = "" if figure.most is None else f"  (at most {figure.most:g})"
        missed = "" if figure.kept else "  MISSED"
        print(f"{figure.what:44} {figure.value:9.2f} {figure.unit}{promised}{missed}")
    return int(not all(figure.kept for figure in figures))


def composed(count: int) -> Iterator[Record]:
    """That many records of models, runs and machines that do not exist."""
    real = read_records(ROOT / "docs/example-run")
    draw = np.random.default_rng(0)
    factor = 1.0
    for number in range(count):
        template = real[number % len(real)]
        model = number // len(real)
        if number % len(real) == 0:
            factor = float(np.exp(draw.normal(0, SPREAD)))
        own = float(np.exp(draw.normal(0, 0.05)))
        cell, host = template.cell, template.host
        folder, _, _ = (cell.artifact or "").rpartition("-")
        artifact = f"{folder.replace('artifacts/', f'artifacts/{model:04}-')}-{number:08x}"
        reason = template.judgement.reason
        assert template.summary is not None
        summary = template.summary.model_dump(mode="json")
        yield template.replaced(
            run=f"2026112{model % RUNS}-100000-{model % RUNS:04x}",
            cell=cell.replaced(
                model=f"{cell.model}-{model:04}",
                artifact=artifact,
                artifact_key=f"{number:08x}{(cell.artifact_key or '')[8:]}",
            ),
            summary=Summary.model_validate(scaled(summary, factor * own)),
            command=template.command.replace(cell.artifact or "", artifact),
            host=host.replaced(hostname=f"host{model % MACHINES}"),
            judgement=template.judgement.replaced(
                reason=OF_A_ROW.sub(lambda found: f"{draw.integers(1, 99)}", reason)
            ),
        )


def compare_each_pair_once() -> None:
    """Which of two cells is faster follows from their visits, and those are shared: it is worked
    out once for each pair of templates. The page is what is looked at here, not the statistics."""
    known: dict[tuple[int, int], Speedup | None] = {}
    compare = speedups.visited_speedups

    def compared(baseline: Record, candidate: Record) -> Speedup | None:
        pair = (id(baseline.visits[0]), id(candidate.visits[0]))
        if pair not in known:
            known[pair] = compare(baseline, candidate)
        return known[pair]

    speedups.visited_speedups = compared


def scaled(value: Any, factor: float, key: str = "") -> Any:
    """The same part of a record in which every time of a call takes ``factor`` times as long."""
    if isinstance(value, dict):
        return {name: scaled(inner, factor, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [scaled(inner, factor, key) for inner in value]
    if value is None or isinstance(value, bool | str):
        return value
    if key == "ms" or key.endswith("_ms"):
        return value * factor
    if key == "throughput_per_s":
        return value / factor
    return value


def looked_at(path: Path, screens: Path | None) -> list[Figure]:
    """What the page takes in a browser: the medians of several times that it was opened."""
    from playwright.sync_api import sync_playwright

    from tests.pages.browser import QUIET, chromium

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(QUIET))
        usable, drawn = [], []
        for _ in range(OPENED):
            context = browser.new_context(viewport=SCREENS["wide"])
            page = context.new_page()
            page.goto(path.as_uri(), wait_until="commit")
            page.wait_for_selector("[data-tools]:not([hidden]) .status:not(:empty)")
            usable.append(_now(page))
            page.locator("[data-chart]").first.scroll_into_view_if_needed()
            page.wait_for_selector("[data-chart] .plot[data-drawn] svg")
            drawn.append(_now(page))
            if len(usable) < OPENED:
                context.close()
        figures = [
            Figure("opened: table to be sorted and filtered", _worst(usable), "s", USABLE_WITHIN_S),
            Figure("opened: first chart drawn", _worst(drawn), "s"),
        ]
        figures += _used(page)
        for name, size in SCREENS.items() if screens else ():
            page.set_viewport_size(size)  # type: ignore[arg-type]
            page.screenshot(path=screens / f"at-scale-{name}.png")  # type: ignore[operator]
        browser.close()
    return figures


def _used(page: Page) -> list[Figure]:
    """Sorting, filtering, scrolling and asking for more rows, on a page that is open."""
    page.wait_for_timeout(2_000)
    figures = []
    sort_ms = [page.evaluate(SORT, ["#rows-0", title]) for title in ("p50 ms", "p50 ms", "runner")]
    figures.append(Figure("sort, the slowest of three", max(sort_ms), "ms", SLOWEST_FRAME_MS * 3))
    filter_ms = [page.evaluate(FILTER, [words]) for words in ("resnet50 onnx", "vit-00", "")]
    figures.append(Figure("filter, the slowest of three", max(filter_ms), "ms", 300))
    frames = page.evaluate(SCROLL, [120])
    figures += _frames("scroll", frames)
    for _ in range(2):
        page.locator("[data-more=rows-0] button").click()
    figures += _frames("scroll with 450 rows shown", page.evaluate(SCROLL, [120]))
    return figures


def _frames(what: str, lengths: Sequence[float]) -> list[Figure]:
    p50, p95 = np.percentile(lengths, [50, 95])
    return [
        Figure(f"{what}: frame, median", float(p50), "ms"),
        Figure(f"{what}: frame, 95 of 100 below", float(p95), "ms", SLOWEST_FRAME_MS),
        Figure(f"{what}: longest frame", float(max(lengths)), "ms"),
    ]


def _now(page: Page) -> float:
    """Seconds since the page began to be opened."""
    return float(page.evaluate("performance.now()")) / 1e3


def _worst(values: Sequence[float]) -> float:
    return max(values)


if __name__ == "__main__":
    sys.exit(main())
