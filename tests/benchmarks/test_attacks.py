"""The table of attacks, and what the supply chain is judged by."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.attacks import (
    BEGIN,
    END,
    FAILED,
    NOT_TRIED,
    PAGE,
    TESTS,
    Attack,
    Attacks,
    table,
    unlike_rows,
)
from benchmarks.supply_chain import audited, refused_of

ROOT = Path(__file__).parents[2]


def test_attack_whose_test_failed_is_a_failed_row() -> None:
    attack = Attack("Archives", "a bomb", "800 MiB", "refused")
    attacks = Attacks({"one": attack, "two": attack}, failed={"two"}, ran={"one"})
    assert table(attacks).count("a bomb") == 1
    assert f"| a bomb | 800 MiB | {FAILED} |" in table(attacks)
    attacks.failed.clear()
    assert "| a bomb | 800 MiB | refused |" in table(attacks)


def test_page_has_a_place_for_the_table_and_every_folder_of_it_is_there() -> None:
    page = (ROOT / PAGE).read_text()
    assert page.index(BEGIN) < page.index(END)
    assert FAILED not in page
    for path in TESTS:
        assert (ROOT / path).exists()


def test_row_that_nobody_carries_out_is_told_and_one_that_is_missing() -> None:
    attacks = Attacks({"one": Attack("Archives", "a bomb", "800 MiB", "refused")})
    page = f"{BEGIN}\n\n{table(Attacks(attacks.found, ran={'one'}))}\n{END}"
    assert unlike_rows(page, attacks) == []
    assert unlike_rows(page.replace("refused", f"refused{NOT_TRIED}"), attacks) == []
    by_hand = "| put in by hand | - | refused |"
    added = page.replace(f"\n{END}", f"{by_hand}\n{END}")
    assert unlike_rows(added, attacks) == [f"- {by_hand}"]
    attacks.found["two"] = Attack("Archives", "zip slip", "refused", "refused")
    assert unlike_rows(page, attacks) == ["+ | zip slip | refused | refused |"]


def test_every_row_of_the_page_is_an_attack_that_is_carried_out() -> None:
    """Within a pytest of its own, which collects the attacks and runs none."""
    command = [sys.executable, "-m", "benchmarks.attacks", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize(
    ("licence", "refused"),
    [
        ("MIT License", False),
        ("GNU Lesser General Public License v3", False),
        ("LGPL-3.0", False),
        ("GNU General Public License v2 (GPLv2)", True),
        ("AGPL-3.0-only", True),
        ("UNKNOWN", True),
    ],
)
def test_licence_that_nobody_accepted_is_told(licence: str, refused: bool) -> None:
    package = {"Name": "some-package", "License": licence}
    assert bool(refused_of([package])) == refused


def test_audit_tells_what_it_could_not_ask_about() -> None:
    answers = [
        {"name": "a", "version": "1", "vulns": []},
        {"name": "b", "version": "1", "vulns": [{"id": "CVE-1"}]},
        {"name": "c", "skip_reason": "not found"},
    ]
    assert audited(answers) == (["a", "b"], ["c"], ["b"])
