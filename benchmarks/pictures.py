"""The pictures of the README and of the project page, from the records of docs/example-run.

``python -m benchmarks.pictures`` writes docs/pictures: the answer and the table of two models of
that run (table-light.svg, table-dark.svg), and the first screen of their report in a browser
(report-light.png, report-dark.png), and the two reports of the site: docs/report-example.html, of
that run and of the layers of an artifact that ``deploybench explain`` looked at, and
docs/report-study.html, of the evaluations and times of docs/example-study. The screenshots need
playwright and a Chromium; without them they are left as they are, and said so. Nothing is measured.

``python -m benchmarks.pictures --live demo-workspace`` does measure, and draws nothing else: it
runs what `make demo` runs, for minutes, and keeps the last frame of the live view in which at most
half of the rows were known (docs/pictures/live-light.svg, live-dark.svg).
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from deploybench.analysis.qualities import with_qualities
from deploybench.cli.live import LiveView
from deploybench.pages.compose import page_of
from deploybench.pages.html import page_html
from deploybench.report.live_view import LiveFrame, RowState, frame_lines
from deploybench.report.run_report import run_report
from deploybench.report.svg import THEMES, lines_svg, write_svgs
from deploybench.report.table import Prose, Report, Table
from deploybench.results.explanation import explanations_below
from deploybench.results.record import Record
from deploybench.results.store import read_records
from deploybench.runs.events import RunEvent, RunPlanned, VisitsMade
from deploybench.runs.request import RunRequest, carry_out

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    "example-run": ("report-example.html", "Four models on three runtimes of two CPU cores"),
    "example-study": (
        "report-study.html",
        "One body, five attentions: accuracy beside latency on generated brain images",
    ),
}
"""Folders of docs/ with records: the page of each, and its title."""
SCREEN = {"width": 1440, "height": 960}
TERMINAL = {"width": 96, "height": 40}
"""Columns and lines of the terminal in which the live view is pictured."""
LIVE_RUN = RunRequest(
    runners=("pytorch", "onnxruntime", "openvino"),
    precision_target=0.015,
    budget_s=24.0,
    baseline="pytorch",
)
"""What `make demo` measures."""


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
    """The report of the folder's times, and of the evaluations and layers beside them; the same
    folder and the same version give the same text."""
    _, title = EXAMPLES[folder.name]
    records = with_qualities(read_records(folder), ())
    page = page_of(records, title=title, layers=explanations_below(folder))
    return page_html(page)


def live_pictures(workspace: Path, folder: Path) -> list[Path]:
    """A frame of the live view of a run that is done for it, in light and in dark colours."""
    frames: list[LiveFrame] = []
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, **TERMINAL))  # type: ignore[arg-type]

    def tell(event: RunEvent) -> None:
        if isinstance(event, RunPlanned):
            view.begin(event)
            return
        view.tell(event)
        if isinstance(event, VisitsMade):
            frames.append(view.frame)

    carry_out(replace(LIVE_RUN, workspace=workspace), tell)
    view.end()
    lines = frame_lines(half_known(frames), **TERMINAL)
    written = []
    for theme in THEMES:
        path = folder / f"live-{theme}.svg"
        svg = lines_svg(lines, "live", theme, "The live view of a run")
        path.write_text(svg, encoding="utf-8")
        written.append(path)
    return written


def half_known(frames: Sequence[LiveFrame]) -> LiveFrame:
    """The last one in which at most half of the rows were known.

    Raises SystemExit where there is none: all were known at the first look.
    """
    fitting = []
    for frame in frames:
        known = sum(row.state is RowState.KNOWN for row in frame.rows)
        if 2 * known <= len(frame.rows):
            fitting.append(frame)
    if not fitting:
        sys.exit("no frame of the run has rows that are not known yet: take more cells")
    return fitting[-1]


def main() -> None:
    """Write the pictures, and say which."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=Path, default=ROOT / "docs/example-run")
    parser.add_argument("--models", default="resnet50,vit", help="those of the table")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/pictures")
    parser.add_argument("--no-screenshots", action="store_true")
    parser.add_argument("--live", type=Path, metavar="WORKSPACE", help="measure, and draw the view")
    asked = parser.parse_args()
    if asked.live is not None:
        say(live_pictures(asked.live, asked.out))
        return
    records = read_records(asked.records)
    chosen = [record for record in records if record.cell.model in asked.models.split(",")]
    written = write_svgs(shortened(chosen), asked.out)
    if not asked.no_screenshots:
        written += screenshots(records, asked.out)
    if asked.records == ROOT / "docs/example-run":
        for folder, (name, _) in EXAMPLES.items():
            example = ROOT / "docs" / name
            example.write_text(example_page(ROOT / "docs" / folder), encoding="utf-8")
            written.append(example)
    say(written)


def say(written: Sequence[Path]) -> None:
    """Which files there are now, and how large."""
    for path in written:
        sys.stdout.write(f"{path}: {path.stat().st_size / 1e3:.0f} kB\n")


if __name__ == "__main__":
    main()
