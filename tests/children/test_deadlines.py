"""A deadline cuts what children are waited for, and says that it was it."""

from __future__ import annotations

import math
from pathlib import Path
from time import monotonic

import pytest

from deploybench.children import deadlines
from deploybench.children.processes import run_child

SLEEPER = "import time\ntime.sleep(60)\n"


def test_without_a_deadline_limits_are_what_they_are() -> None:
    assert deadlines.left_s() == math.inf
    assert not deadlines.passed()
    assert deadlines.allowed_s(900.0) == 900.0
    assert deadlines.stopped_words(3.0) == "stopped after the time limit of 3 s"


def test_earlier_of_two_deadlines_holds_and_the_other_comes_back() -> None:
    now = monotonic()
    with deadlines.no_later_than(now + 100):
        with deadlines.no_later_than(now + 1000):
            assert 90 < deadlines.left_s() <= 100
        with deadlines.no_later_than(now - 1):
            assert deadlines.passed()
            assert deadlines.allowed_s(900.0) == deadlines.LEAST_WAIT_S
        assert deadlines.allowed_s(900.0) > 90
    assert deadlines.left_s() == math.inf


def test_child_that_works_on_is_stopped_at_the_deadline_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with deadlines.no_later_than(monotonic() + 0.2):
        outcome = run_child("sleeper", "", time_limit_s=60.0)
    assert outcome.reply is None
    assert outcome.error is not None
    assert outcome.error.startswith(deadlines.WORDS)
