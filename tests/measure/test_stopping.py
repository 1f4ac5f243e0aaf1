"""The window ends when it should, for made-up times."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deploybench.measure.stopping import WindowRule

RULE = WindowRule(min_samples=10, duration_ns=1000, limit_ns=5000)


def test_window_goes_on_when_there_is_time_but_not_enough_samples() -> None:
    assert not RULE.done(9, 4999)


def test_window_goes_on_when_there_are_samples_but_not_enough_time() -> None:
    assert not RULE.done(1000, 999)


def test_window_ends_when_there_is_enough_of_both() -> None:
    assert RULE.done(10, 1000)


def test_window_ends_at_the_limit_whatever_the_samples() -> None:
    assert RULE.done(1, 5000)


def test_window_takes_at_least_one_sample() -> None:
    assert not RULE.done(0, 10**12)


@given(st.integers(0, 100), st.integers(0, 10**4), st.integers(0, 100), st.integers(0, 10**4))
def test_window_that_has_ended_stays_ended(samples: int, elapsed: int, more: int, later: int) -> None:
    if RULE.done(samples, elapsed):
        assert RULE.done(samples + more, elapsed + later)
