"""``make test`` runs every test: its sessions leave none out, and each of them says so."""

from __future__ import annotations

import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOW_TO_RUN = {"-n", "--dist", "--durations"}
"""Options that take a value and choose no tests."""


def sessions() -> list[list[str]]:
    """The arguments of each pytest of the target ``test``."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    recipe = lines[lines.index("test: lint") + 1 :]
    end = next(number for number, line in enumerate(recipe) if not line.startswith("\t"))
    return [shlex.split(line.partition(" -m pytest ")[2]) for line in recipe[:end]]


def test_two_sessions_of_make_test_are_together_all_tests() -> None:
    chosen = []
    for arguments in sessions():
        options = dict(zip(arguments[::2], arguments[1::2], strict=True))
        chosen.append(options.pop("-m"))
        assert options.keys() <= HOW_TO_RUN
    assert chosen == ["not measures", "measures"]


def test_what_measures_has_nothing_beside_it() -> None:
    (alone,) = [arguments for arguments in sessions() if "measures" in arguments]
    assert "-n" not in alone
