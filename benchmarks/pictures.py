"""The pictures of the README and of the project page, from the records of docs/example-run.

``python -m benchmarks.pictures`` writes docs/pictures: the answer and the table of two models of
that run (table-light.svg, table-dark.svg), and the first screen of their report in a browser
(report-light.png, report-dark.png), and docs/report-example.html, that report itself with the
layers of an artifact that ``deploybench explain`` looked at. The screenshots need playwright and a
Chromium; without them they are left as they are, and said so. Nothing is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html
from deploybench.report.run_report import run_report
from deploybench.report.svg import write_svgs
from deploybench.report.table import Prose, Report, Table
from deploybench.results.explanation import explanations_below
from deploybench.results.record import Record
from deploybench.results.store import read_records

ROOT = Path(__file__).parents[1]
EXAMPLE_TITLE = "Four models on three runtimes of two CPU cores"
SCREEN = {"width": 1440, "height": 960}
NAMES = ("chromium", "chromium-browser", "google-chrome")


def shortened(records: Sequence[Record]) -> Report:
    """The answer and the table, without the commands and the legend: what a first look needs."""
    sections: list[Prose | Table] = []
    for section in run_report(records).sections:
        if isinstance(section, Table):
            sections.append(replace(section, legend=""))
            break
        if not section.verbatim and not sections:
            sections.append(section)
    return Report(tuple(sections))


def screenshots(records: Sequence[Record], folder: Path) -> list[Path]:
    """The report's first screen in light and in dark colours."""
    from playwright.sync_api import sync_playwright

    from tests.pages.browser import QUIET, chromium

    written = []
    with tempfile.TemporaryDirectory() as place, sync_playwright() as driver:
        page = Path(place) / "report.html"
        page.write_text(page_html(page_of(records)), encoding="utf-8")
        browser = driver.chromium.launch(executable_path=chromium(), args=list(QUIET))
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport=SCREEN, color_scheme=scheme)  # type: ignore[arg-type]
            shown = context.new_page()
            shown.goto(page.as_uri())
            path = folder / f"report-{scheme}.png"
            shown.screenshot(path=path)
            written.append(path)
        browser.close()
    return written


def example_page(folder: Path) -> str:
    """The report of the folder's records and of the layers beside them; the same folder and the
    same version give the same text."""
    page = page_of(read_records(folder), title=EXAMPLE_TITLE, layers=explanations_below(folder))
    return page_html(page)


def main() -> None:
    """Write the pictures, and say which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=ROOT / "docs/example-run")
    parser.add_argument("--models", default="resnet50,vit", help="those of the table")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--no-screenshots", action="store_true")
    asked = parser.parse_args()
    records = read_records(asked.records)
    chosen = [record for record in records if record.cell.model in asked.models.split(",")]
    written = write_svgs(shortened(chosen), asked.out)
    if not asked.no_screenshots:
        written += screenshots(records, asked.out)
    example = ROOT / "docs/report-example.html"
    if asked.records == ROOT / "docs/example-run":
        example.write_text(example_page(asked.records), encoding="utf-8")
        written.append(example)
    for path in written:
        sys.stdout.write(f"{path}: {path.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
