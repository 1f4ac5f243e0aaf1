"""The table of faults: what several calls tried adds up, and nothing of it is wiped."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import BEGIN, BROKEN, END, PAGE, Tried, put_row, rows_in, table
from tests.faults.faults import Fault, all_faults

ROOT = Path(__file__).parents[2]
WORKER = Fault("A worker", "kill -9 | a visit", lambda place, number: "", often=False)
DISK = Fault("The disk", "full", lambda place, number: "", often=False)
FAULTS = (WORKER, DISK)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "reliability.md"
    path.write_text(f"above\n{BEGIN}\n\n{table(FAULTS, {})}\n{END}\nbelow\n", "utf-8")
    return path


def put(page: Path, tried: Tried, *, anew: bool = False) -> str:
    put_row(page, FAULTS, tried, anew=anew)
    return page.read_text("utf-8")


def test_tries_of_several_calls_add_up_and_other_rows_stay(page: Path) -> None:
    put(page, Tried(WORKER, times=1, sees="FAILED"))
    put(page, Tried(DISK, times=2, sees="No space left"))
    text = put(page, Tried(WORKER, times=3, sees="FAILED: killed"))
    assert r"| kill -9 \| a visit | 4 | nothing | FAILED: killed |" in text
    assert "| full | 2 | nothing | No space left |" in text
    assert "6 tries of 2 faults: every promise was held" in text
    assert text.startswith("above\n")
    assert text.endswith("\nbelow\n")
    text = put(page, Tried(WORKER, times=1, sees="FAILED"), anew=True)
    assert "3 tries of 2 faults" in text


def test_fault_that_this_machine_cannot_have_keeps_what_another_tried(page: Path) -> None:
    text = put(page, Tried(DISK, not_here="only root mounts a file system"))
    assert "| full | 0 | not tried | only root mounts a file system |" in text
    tried = put(page, Tried(DISK, times=2, sees="No space left"))
    assert put(page, Tried(DISK, not_here="only root mounts a file system")) == tried


def test_broken_promise_is_told_until_the_count_begins_anew(page: Path) -> None:
    put(page, Tried(DISK, times=5, sees="No space left"))
    text = put(page, Tried(WORKER, times=1, broken=["exit code 0"]))
    assert f"| 1 | {BROKEN} 1 time: exit code 0 | – |" in text
    put(page, Tried(WORKER, times=1, sees="FAILED"), anew=True)
    text = put(page, Tried(DISK, times=3, sees="No space left", broken=["a traceback"]))
    assert f"| full | 8 | {BROKEN} 1 time: a traceback | No space left |" in text
    assert "1 fault broke a promise" in text
    text = put(page, Tried(DISK, times=1, sees="No space left"))
    assert f"| full | 9 | {BROKEN} 1 time: a traceback | No space left |" in text
    text = put(page, Tried(DISK, times=1, sees="No space left"), anew=True)
    assert "| full | 1 | nothing | No space left |" in text


def test_every_fault_of_the_page_is_one_that_is_tried() -> None:
    page = (ROOT / PAGE).read_text("utf-8")
    names = [fault.name for fault in all_faults()]
    assert list(rows_in(page)) == names
    assert BROKEN not in page
