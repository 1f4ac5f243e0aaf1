"""The report of a GPU check: what the machine is, what each test found, and its figures.

    python -m tests.gpu_report [REPORT.json] [--out docs/gpu-results.md]

writes the page of the documentation from the report that ``python3 -m tests.gpu_check`` wrote on
the machine with the card; without one the page says that nothing has run on a GPU.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic import Field

from deploybench.documents import Document, read_document
from deploybench.hardware.gpus import Gpu
from deploybench.plurals import counted

Figure = bool | int | float | str | None
PAGE = Path(__file__).parents[1] / "docs" / "gpu-results.md"
TITLE = "# What a GPU showed"
NOTHING = """No GPU has been at hand: **nothing of DeployBench has run on one**. What can be shown
without one is in [without-gpu.md](without-gpu.md) and
[running-on-your-gpu.md](running-on-your-gpu.md).

Where you have one, `python3 -m tests.gpu_check` takes about half an hour and writes a report, as
JSON and as Markdown: please send the first. `python -m tests.gpu_report REPORT.json` makes this
page from it.
"""


class TestResult(Document):
    """One test: ``passed``, ``failed`` or ``skipped``, why, and the figures that it noted."""

    __test__ = False  # a name that pytest would collect

    name: str
    outcome: str
    reason: str = ""
    seconds: float = Field(0.0, description="of its call alone")
    figures: dict[str, Figure] = Field(default_factory=dict)


class GpuReport(Document):
    """What one check found; ``refused`` says why nothing was tested."""

    written: str
    gpus: tuple[Gpu, ...]
    machine: str
    python: str
    versions: dict[str, str]
    refused: str = ""
    tests: tuple[TestResult, ...] = ()

    def of(self, outcome: str) -> list[TestResult]:
        return [test for test in self.tests if test.outcome == outcome]

    @property
    def summary(self) -> str:
        if self.refused:
            return f"no GPU was tested: {self.refused}"
        numbers = (f"{len(self.of(word))} {word}" for word in ("passed", "failed", "skipped"))
        return ", ".join(numbers)


def read_report(path: Path) -> GpuReport:
    """The report in a file. Raises DeployBenchError where it does not read."""
    return read_document(
        GpuReport,
        path.read_bytes(),
        origin=str(path),
        what="the report of a GPU check",
        expected="the gpu-check.json that python3 -m tests.gpu_check wrote",
        action="run the check again",
    )


def markdown(report: GpuReport) -> str:
    """The report as a page: the machine, the figures, each test with its reason."""
    lines = [TITLE, "", f"{report.summary}. Written {report.written}.", ""]
    for gpu in report.gpus:
        memory = f"{gpu.memory_bytes / 2**30:.1f} GiB"
        about = f"compute capability {gpu.compute_capability}, {memory}, driver {gpu.driver}"
        lines.append(f"- GPU {gpu.index}: **{gpu.name}**, {about}")
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines += [f"- {report.machine}, Python {report.python}", f"- {versions or 'no libraries'}", ""]
    with_figures = [test for test in report.tests if test.figures]
    if with_figures:
        lines += ["## Figures", "", "| test | figure | value |", "|---|---|---|"]
    for test in with_figures:
        for name, value in test.figures.items():
            lines.append(f"| {_short(test.name)} | {name} | {_cell(value)} |")
    if report.tests:
        lines += ["", "## Tests", "", "| test | outcome | seconds | reason |", "|---|---|---|---|"]
    for outcome in ("failed", "passed", "skipped"):
        for test in report.of(outcome):
            cells = [_short(test.name), outcome, f"{test.seconds:.1f}", _cell(test.reason)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines).rstrip() + "\n"


def page(report: GpuReport | None) -> str:
    """The page of the documentation; without a report it says that there is none."""
    if report is None or report.refused:
        return f"{TITLE}\n\n{NOTHING}"
    return markdown(report)


def told(report: GpuReport) -> list[str]:
    """The report for a terminal: the verdict first, then what did not pass, with its reason."""
    lines = [report.summary]
    for outcome in ("failed", "skipped", "passed"):
        for test in report.of(outcome):
            reason = f": {test.reason}" if test.reason else ""
            word = outcome.upper() if outcome == "failed" else outcome
            lines.append(f"{word:7} {test.name}{reason}")
    noted = sum(len(test.figures) for test in report.tests)
    if noted:
        lines.append(f"{counted(noted, 'figure')} in the report")
    return lines


def _short(name: str) -> str:
    return name.rpartition("/")[2].replace("|", "\\|")


def _cell(value: Figure) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return " ".join(str(value).split()).replace("|", "\\|")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    report = None
    if options.report is not None:
        report = read_report(options.report)
    options.out.write_text(page(report))
    print(options.out)


if __name__ == "__main__":
    main()
