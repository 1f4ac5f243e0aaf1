"""``make gpu-check`` tells what it did not test as plainly as what it did."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploybench.hardware.gpus import find_gpus
from tests.gpu_check import ROOT, Outcomes

pytest_plugins = ["pytester"]

FOUR_ENDINGS = """
import pytest

def test_good(): pass

def test_bad(): assert 1 == 2, "numbers differ"

@pytest.fixture
def card(): pytest.skip("needs sm_86")

def test_skipped(card): pass

@pytest.fixture
def broken(): raise OSError("no such library")

def test_broken(broken): pass
"""


def test_every_ending_is_listed_once_with_its_reason(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_four=FOUR_ENDINGS)
    outcomes = Outcomes()
    pytester.inline_run(plugins=[outcomes])
    assert outcomes.lines() == [
        "1 passed, 2 failed, 1 skipped",
        "FAILED  test_four.py::test_bad: AssertionError: numbers differ",
        "FAILED  test_four.py::test_broken: OSError: no such library",
        "skipped test_four.py::test_skipped: needs sm_86",
        "passed  test_four.py::test_good",
    ]
    assert outcomes.exit_code == 1


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("def test_good(): pass", 0),
        ("import pytest\n@pytest.mark.skip(reason='no card')\ndef test_none(): pass", 1),
        ("import nothing_of_that_name\ndef test_good(): pass", 1),
        ("", 1),
    ],
)
def test_check_is_good_only_when_something_passed_and_nothing_failed(
    pytester: pytest.Pytester, source: str, code: int
) -> None:
    pytester.makepyfile(test_one=source)
    outcomes = Outcomes()
    pytester.inline_run(plugins=[outcomes])
    assert outcomes.exit_code == code


@pytest.mark.skipif(bool(find_gpus()[0]), reason="this machine has a GPU")
def test_machine_without_a_gpu_is_told_so_and_nothing_is_tested() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.gpu_check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.startswith("no GPU was tested: ")
    assert "passed" not in done.stdout
