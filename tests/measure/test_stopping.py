"""The window and the experiment end when they should, for made-up times and widths."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploybench.measure.stopping import Ending, ExperimentRule, Progress, WindowRule

RULE = WindowRule(min_samples=10, duration_ns=1000, limit_ns=5000)
UNTIL_PRECISE = ExperimentRule(half_width=0.01, budget_s=60, min_rounds=6)

WIDTHS = st.lists(st.one_of(st.none(), st.floats(0, 0.1)), max_size=4).map(tuple)
PROGRESS = st.builds(
    Progress,
    rounds=st.integers(0, 40),
    spent_s=st.floats(0, 100),
    launch_s=st.floats(0, 10),
    half_widths=WIDTHS,
)


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
def test_window_that_has_ended_stays_ended(
    samples: int, elapsed: int, more: int, later: int
) -> None:
    if RULE.done(samples, elapsed):
        assert RULE.done(samples + more, elapsed + later)


@pytest.mark.parametrize(
    ("progress", "ending"),
    [
        (Progress(0, 0, 0, (None,)), None),
        (Progress(6, 12, 2, (0.01, 0.004)), Ending.PRECISE),
        (Progress(6, 12, 2, (0.011, 0.004)), None),
        (Progress(6, 12, 2, (0.004, None)), None),
        (Progress(6, 12, 2, ()), None),
        (Progress(5, 10, 2, (0.001,)), None),
        (Progress(29, 58, 2, (0.02,)), None),
        (Progress(30, 60, 2, (0.02,)), Ending.SPENT),
        (Progress(1, 40, 40, (None,)), Ending.SPENT),
        (Progress(30, 60, 2, (0.01,)), Ending.PRECISE),
    ],
)
def test_experiment_ends_when_precise_or_when_one_more_launch_would_not_fit(
    progress: Progress, ending: Ending | None
) -> None:
    assert UNTIL_PRECISE.ending(progress) is ending


@pytest.mark.parametrize("widths", [(0.0,), (None,), ()])
def test_experiment_of_a_number_of_rounds_has_exactly_those_however_precise_it_is(
    widths: tuple[float | None, ...],
) -> None:
    rule = ExperimentRule(half_width=None, budget_s=math.inf, min_rounds=6, max_rounds=8)
    assert rule.ending(Progress(7, 1e9, 1e9, widths)) is None
    assert rule.ending(Progress(8, 0, 0, widths)) is Ending.ROUNDS


def test_first_round_runs_even_when_there_is_no_time_for_it() -> None:
    assert ExperimentRule(None, 0, 1, max_rounds=1).ending(Progress(0, 0, 100, ())) is None


def test_rule_cannot_see_which_side_is_ahead() -> None:
    """Stopping once a comparison looks decided calls equal things unequal; no field of its input
    tells."""
    assert [field.name for field in fields(Progress)] == [
        "rounds",
        "spent_s",
        "launch_s",
        "half_widths",
    ]


@given(PROGRESS, st.data())
def test_experiment_that_has_ended_does_not_go_on_when_its_intervals_are_narrower(
    progress: Progress, data: st.DataObject
) -> None:
    narrower = tuple(
        None
        if width is None and data.draw(st.booleans())
        else (0.1 if width is None else width) * data.draw(st.floats(0, 1))
        for width in progress.half_widths
    )
    if UNTIL_PRECISE.ending(progress) is not None:
        assert UNTIL_PRECISE.ending(replace(progress, half_widths=narrower)) is not None


@given(PROGRESS, st.floats(0, 100))
def test_experiment_that_has_ended_does_not_go_on_when_more_time_is_spent(
    progress: Progress, more: float
) -> None:
    if UNTIL_PRECISE.ending(progress) is not None:
        assert UNTIL_PRECISE.ending(replace(progress, spent_s=progress.spent_s + more)) is not None


@given(PROGRESS, st.floats(0, 1))
def test_experiment_that_goes_on_goes_on_for_a_finer_precision(
    progress: Progress, finer: float
) -> None:
    if UNTIL_PRECISE.ending(progress) is None:
        assert replace(UNTIL_PRECISE, half_width=0.01 * finer).ending(progress) is None


@given(PROGRESS)
def test_experiment_says_precise_only_when_every_interval_is(progress: Progress) -> None:
    if UNTIL_PRECISE.ending(progress) is Ending.PRECISE:
        assert progress.half_widths
        assert all(width is not None and width <= 0.01 for width in progress.half_widths)
