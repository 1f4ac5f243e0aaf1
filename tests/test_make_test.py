"""``make test`` runs every test: its sessions leave none out, and each of them says so."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import DEAR_FILES, MEASURES, order_of, pytest_ignore_collect

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


def test_workers_begin_with_the_dear_files_and_go_on_with_those_of_many_tests() -> None:
    tests = ROOT / "tests"
    assert [name for name in DEAR_FILES if not (tests / name).is_file()] == []
    dear, dearest = tests / DEAR_FILES[1], tests / DEAR_FILES[0]
    many, few = tests / "many.py", tests / "few.py"
    collected: list[Any] = [
        SimpleNamespace(path=path, name=name)
        for path, names in ((few, "a"), (dear, "ba"), (dearest, "a"), (many, "bac"))
        for name in names
    ]
    collected.sort(key=order_of([one.path for one in collected]))
    found = [(one.path, one.name) for one in collected]
    assert found == [
        *((dearest, "a"), (dear, "b"), (dear, "a")),
        *((many, "b"), (many, "a"), (many, "c"), (few, "a")),
    ]


@pytest.mark.parametrize(
    ("chosen", "marked", "ignored"),
    [
        (MEASURES, True, None),
        (MEASURES, False, True),
        (f"not {MEASURES}", True, None),
        (f"not {MEASURES}", False, None),
        ("", False, None),
    ],
)
def test_session_of_what_measures_imports_no_other_file(
    chosen: str, marked: bool, ignored: bool | None, tmp_path: Path
) -> None:
    path = tmp_path / "test_one.py"
    path.write_text(f"@pytest.mark.{MEASURES if marked else 'real'}\ndef test_one(): pass\n")
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=chosen))
    assert pytest_ignore_collect(path, config) is ignored
    assert pytest_ignore_collect(tmp_path / "conftest.py", config) is None


def test_mark_stands_in_the_file_of_what_it_marks() -> None:
    """From another module it could come into a file that does not say it, and would be left out."""
    words = f"mark.{MEASURES}"
    files = [path for path in (ROOT / "tests").rglob("*.py") if words in path.read_text("utf-8")]
    assert len(files) > 10
    assert [path for path in files if not path.match("test_*.py")] == []
