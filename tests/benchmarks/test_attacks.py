"""The table of attacks, and what the supply chain is judged by."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.attacks import BEGIN, END, FAILED, PAGE, TESTS, Attack, Attacks, table
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
