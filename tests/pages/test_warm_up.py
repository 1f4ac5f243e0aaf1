"""The first calls of each process on the page, and the cut."""

from __future__ import annotations

from deploybench.pages.machines import machines_of
from deploybench.pages.page import View
from deploybench.pages.warm_up_chart import FIRST_CALLS, MOST_PROCESSES, warm_up_view
from deploybench.results.launch import Launch
from tests.records import launch, record

SLOW, STEADY = 20.0, 10.0


def view_of(launches: list[Launch]) -> View:
    (machine,) = machines_of([record(launches)], None, 0.02)
    view = warm_up_view(machine.entries[0], "net")
    assert view is not None
    return view


def launches_of(count: int = 3, calls: int = 3000, cut: int = 35) -> list[Launch]:
    samples = [SLOW] * cut + [STEADY] * (calls - cut)
    return [launch(samples, number=number, warm_up=cut) for number in range(count)]


def test_no_mark_lies_on_both_sides_of_the_cut() -> None:
    view = view_of(launches_of())
    marks = view.spec["data"]["values"]
    assert {(mark["part"], mark["ms"]) for mark in marks} == {("warm-up", SLOW), ("counts", STEADY)}
    first_counted = min(mark["call"] for mark in marks if mark["part"] == "counts")
    assert first_counted == 36
    (rule,) = [layer for layer in view.spec["layer"] if layer["mark"]["type"] == "rule"]
    assert [value["call"] for value in rule["data"]["values"]] == [35.5] * 3


def test_every_call_is_in_one_mark_and_marks_are_few() -> None:
    view = view_of(launches_of(count=1))
    marks = view.spec["data"]["values"]
    assert sum(mark["calls"] for mark in marks) == 3000
    assert [mark["calls"] for mark in marks[:FIRST_CALLS]] == [1] * FIRST_CALLS
    assert len(marks) < 80


def test_only_the_beginning_is_drawn_where_not_every_call_was_kept() -> None:
    samples = [STEADY] * 200
    view = view_of([launch(samples, sample_count=100_000)])
    assert sum(mark["calls"] for mark in view.spec["data"]["values"]) == 100


def test_caption_says_the_warm_up_the_first_call_and_what_is_not_drawn() -> None:
    caption = view_of(launches_of(count=MOST_PROCESSES + 1)).caption
    assert "35 calls of each process were warm-up" in caption
    assert "the first call took 2.00 times the median" in caption
    assert f"The first {MOST_PROCESSES} processes are drawn" in caption
    unsettled = [*launches_of(count=1, cut=0), launch([STEADY] * 20, unsettled="another level")]
    caption = view_of(unsettled).caption
    assert "no call of 2 processes was warm-up" in caption
    assert "1 of 2 processes never settled" in caption
