"""Runs every case in which something wrong once passed in silence, and writes the table of them.

The cases are the tests that carry the mark ``trust``: what was tried, what was printed before, and
what is printed now. A case whose test fails is written as FAILED, and the exit code is 1.

    python -m benchmarks.trust [--out docs/trust.md]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pytest

PAGE = Path("docs/trust.md")
BEGIN = "<!-- cases: written by python -m benchmarks.trust -->"
END = "<!-- end of the cases -->"
KINDS = {
    1: "Given weights are never replaced",
    2: "The identity of an artifact is what was built",
    3: "A partly loaded checkpoint says so",
    4: "Which weights of a checkpoint are taken",
    5: "Forms of checkpoints",
    6: "Old PyTorch does not read pickles",
    7: "Branches that depend on the data",
    8: "Several outputs, dense outputs",
    9: "Models that are not one image in, one answer out",
    10: "What parity does not see",
    11: "Export failures say their cause",
    12: "Images that are not 8-bit RGB",
    13: "Preprocessing is timm's own",
    14: "What a model's outputs mean",
    15: "What was assumed is said",
    16: "Every file of an artifact is under its seal",
    17: "MACs and attention maps are whole, or say what is missing",
    18: "Memory and records without the harness's own",
    19: "The user's environment does not reach a worker unseen",
    20: "CPU quotas",
    21: "The zoo is what the papers' code is",
    22: "Code runs only with consent",
    23: "Hostile words are inert",
    24: "No process outlives its parent",
}


@dataclass(frozen=True)
class Case:
    """One case: its kind by number, what was tried, and the words of before and of now."""

    item: int
    case: str
    before: str
    now: str


class Outcomes:
    """A pytest plug-in: the cases of the tests that were collected, and which of them failed."""

    def __init__(self) -> None:
        self.cases: dict[str, Case] = {}
        self.failed: set[str] = set()
        self.skipped: set[str] = set()

    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        for item in items:
            mark = item.get_closest_marker("trust")
            if mark is not None:
                self.cases[item.nodeid] = Case(**mark.kwargs)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.skipped:
            self.skipped.add(report.nodeid)

    def result(self, nodeid: str) -> str:
        """What the case prints now, or how its test ended."""
        if nodeid in self.failed:
            return "**FAILED**"
        if nodeid in self.skipped:
            return f"{self.cases[nodeid].now} (not tried on the machine that wrote this)"
        return self.cases[nodeid].now


def table(outcomes: Outcomes) -> str:
    """The cases as Markdown, a table for each kind."""
    ordered = sorted(outcomes.cases.items(), key=lambda entry: entry[1].item)
    lines = []
    for item, cases in groupby(ordered, key=lambda entry: entry[1].item):
        lines += [f"### {item}. {KINDS[item]}", "", "| case | before | now |", "|---|---|---|"]
        rows: dict[tuple[str, str], str] = {}
        for nodeid, case in cases:
            # A case that several tests look at is one row, and failed if one of them failed.
            shown = (case.case, case.before)
            if rows.get(shown) != "**FAILED**":
                rows[shown] = outcomes.result(nodeid)
        for (tried, before), result in rows.items():
            lines.append(f"| {cell(tried)} | {cell(before)} | {cell(result)} |")
        lines.append("")
    return "\n".join(lines)


def cell(text: str) -> str:
    """The text as a cell of Markdown's table."""
    return text.replace("|", "\\|").replace("\n", " ")


def written(page: str, cases: str) -> str:
    """The page with its table of cases replaced."""
    return written_between(page, cases, BEGIN, END)


def written_between(page: str, content: str, begin: str, end: str) -> str:
    """The page with what stands between two marks replaced."""
    head, _, rest = page.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n\n{content}\n{end}{tail}"


def collect(*arguments: str) -> Outcomes:
    """Run pytest over the cases; ``arguments`` are pytest's own."""
    outcomes = Outcomes()
    pytest.main(["-m", "trust", *arguments], plugins=[outcomes])
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    outcomes = collect()
    options.out.write_text(written(options.out.read_text(), table(outcomes)))
    print(f"{len(outcomes.cases)} cases, {len(outcomes.failed)} failed; written to {options.out}")
    sys.exit(bool(outcomes.failed))


if __name__ == "__main__":
    main()
