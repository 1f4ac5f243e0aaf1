"""Runs every attack, and writes the table of them.

The attacks are the tests that carry the mark ``attack``, and those cases of ``docs/trust.md`` that
are of the same kinds: what was tried, what happened before, and what the user sees now. An attack
whose test fails is written as FAILED, and the exit code is 1.

    python -m benchmarks.attacks [--out docs/attacks.md] [--check]

``--check`` runs nothing: it compares the page with the attacks that there are, so that no row of it
is one that nobody carries out, and none is missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import ndiff
from itertools import groupby
from pathlib import Path

import pytest

from benchmarks.trust import cell, written_between
from deploybench.plurals import counted

PAGE = Path("docs/attacks.md")
BEGIN = "<!-- attacks: written by python -m benchmarks.attacks -->"
END = "<!-- end of the attacks -->"
KINDS_OF_TRUST = {
    16: "Artifacts",
    22: "Code of others",
    23: "Words of others",
}
"""The cases of the page of trust that are attacks, by the number of their item."""
FAILED = "**FAILED**"
NOT_TRIED = " (not tried on the machine that wrote this)"
TESTS = (
    *("tests/attacks", "tests/artifacts", "tests/cli/test_consent.py", "tests/report"),
    *("tests/rows", "tests/contracts/test_registry.py", "tests/models/test_checkpoint_forms.py"),
    *("tests/gating", "tests/fleet/test_station.py"),
    "tests/contracts/test_third_party.py",
)


@dataclass(frozen=True)
class Attack:
    """One attack: its kind, what was tried, and the words of before and of now."""

    kind: str
    attack: str
    before: str
    now: str


@dataclass
class Attacks:
    """A pytest plug-in: the attacks of the tests that were collected, and which tests failed."""

    found: dict[str, Attack] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    ran: set[str] = field(default_factory=set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the attacks, leave out all other tests."""
        for item in items:
            attack = attack_of(item)
            if attack is not None:
                self.found[item.nodeid] = attack
        items[:] = [item for item in items if item.nodeid in self.found]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self.ran.add(report.nodeid)

    def result(self, nodeid: str) -> str:
        """What the user sees now, or how the test ended."""
        if nodeid in self.failed:
            return FAILED
        if nodeid not in self.ran:
            return f"{self.found[nodeid].now}{NOT_TRIED}"
        return self.found[nodeid].now


def attack_of(item: pytest.Item) -> Attack | None:
    """The attack that a test is, or None."""
    mark = item.get_closest_marker("attack")
    if mark is not None:
        return Attack(**mark.kwargs)
    case = item.get_closest_marker("trust")
    if case is None or case.kwargs["item"] not in KINDS_OF_TRUST:
        return None
    kind = KINDS_OF_TRUST[case.kwargs["item"]]
    return Attack(kind, case.kwargs["case"], case.kwargs["before"], case.kwargs["now"])


def table(attacks: Attacks) -> str:
    """The attacks as Markdown, a table for each kind."""
    ordered = sorted(attacks.found.items(), key=lambda entry: entry[1].kind)
    lines = []
    for kind, of_kind in groupby(ordered, key=lambda entry: entry[1].kind):
        lines += [f"## {kind}", "", "| attack | before | now |", "|---|---|---|"]
        rows: dict[tuple[str, str], list[str]] = {}
        for nodeid, attack in of_kind:
            rows.setdefault((attack.attack, attack.before), []).append(attacks.result(nodeid))
        for (tried, before), results in rows.items():
            # An attack that several tests make is one row, and failed if one of them failed.
            result = FAILED if FAILED in results else min(results, key=len)
            lines.append(f"| {cell(tried)} | {cell(before)} | {cell(result)} |")
        lines.append("")
    return "\n".join(lines)


def collect(arguments: Sequence[str]) -> Attacks:
    """Run pytest over the attacks; ``arguments`` are pytest's own."""
    attacks = Attacks()
    pytest.main(list(arguments), plugins=[attacks])
    return attacks


def unlike_rows(page: str, attacks: Attacks) -> list[str]:
    """Rows of the page that no attack makes, and those of attacks that it lacks."""
    content = page.partition(BEGIN)[2].partition(END)[0]
    # Whether an attack could be tried is for the machine to say that runs them.
    there = content.replace(NOT_TRIED, "").splitlines()
    every = Attacks(attacks.found, ran=set(attacks.found))
    made = table(every).splitlines()
    return [line for line in ndiff(there, made) if line.startswith(("- |", "+ |"))]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true", help="run nothing, compare the page")
    options = parser.parse_args()
    if options.check:
        found = collect(("--collect-only", "-qq", "--disable-warnings", *TESTS))
        unlike = unlike_rows(options.out.read_text("utf-8"), found)
        print("\n".join(unlike) or f"{options.out} is what {counted(len(found.found), 'test')} say")
        sys.exit(bool(unlike) or not found.found)
    attacks = collect(TESTS)
    page = written_between(options.out.read_text(), table(attacks), BEGIN, END)
    options.out.write_text(page)
    tried = len({(attack.kind, attack.attack) for attack in attacks.found.values()})
    print(f"{tried} attacks, {len(attacks.failed)} failed tests; written to {options.out}")
    sys.exit(bool(attacks.failed) or not attacks.found)


if __name__ == "__main__":
    main()
