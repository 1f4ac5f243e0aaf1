"""The loop counts every call, and times the call and nothing else."""

from __future__ import annotations

import gc
import time

import pytest

from deploybench.measure import loop
from deploybench.measure.loop import Window, run_window
from deploybench.measure.stopping import WindowRule

MS = 1_000_000


def work(ms: float) -> None:
    """Keep this thread's core busy."""
    end = time.thread_time_ns() + ms * MS
    while time.thread_time_ns() < end:
        pass


def test_window_holds_one_sample_a_call_and_no_call_is_lost() -> None:
    calls = []
    window = run_window(lambda: calls.append(1), WindowRule(25, 0, 10**9))
    counts = {
        len(window.samples_ns),
        len(window.ends_ns),
        len(window.sample_cpu_ns),
        len(window.sample_switches),
    }
    assert counts == {len(calls)} == {25}


@pytest.mark.measures
def test_samples_are_no_shorter_than_the_call_and_the_window_no_shorter_than_its_samples() -> None:
    window = run_window(lambda: time.sleep(0.002), WindowRule(5, 0, 10**9))
    assert min(window.samples_ns) >= 2_000_000
    assert window.wall_ns() >= sum(window.samples_ns)
    assert list(window.ends_ns) == sorted(window.ends_ns)


@pytest.mark.measures
def test_window_ends_when_its_time_is_over() -> None:
    window = run_window(lambda: time.sleep(0.001), WindowRule(1, 20 * MS, 10**9))
    assert window.ends_ns[-2] < 20 * MS <= window.ends_ns[-1]


def test_collector_is_off_inside_the_window_and_back_afterwards_even_when_the_call_raises() -> None:
    seen = []
    run_window(lambda: seen.append(gc.isenabled()), WindowRule(1, 0, 10**9))
    assert seen == [False]

    def fail() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        run_window(fail, WindowRule(1, 0, 10**9))
    assert gc.isenabled()


@pytest.mark.measures
def test_cpu_time_of_a_sample_is_its_own_when_one_call_works_and_another_sleeps() -> None:
    turns = iter([True, False, True, False])

    def call() -> None:
        if next(turns):
            work(10)
        else:
            time.sleep(0.01)

    window = run_window(call, WindowRule(4, 0, 10**9))
    working, sleeping = window.sample_cpu_ns[::2], window.sample_cpu_ns[1::2]
    assert min(working) >= 9 * MS
    assert max(sleeping) < 5 * MS
    assert window.cpu_ns >= sum(window.sample_cpu_ns) - 4 * MS


def test_switches_of_a_sample_are_those_between_the_readings_around_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def reading(user_s: float, system_s: float, switches: int) -> tuple[float, ...]:
        return (user_s, system_s, *[0] * 13, switches)

    readings = iter([reading(1.0, 0.5, 7), reading(1.25, 0.75, 7), reading(1.25, 1.0, 10)])
    monkeypatch.setattr(loop, "_usage", lambda: next(readings))
    window = run_window(lambda: None, WindowRule(2, 0, 10**9))
    assert window.sample_cpu_ns == (500 * MS, 250 * MS)
    assert window.sample_switches == (0, 3)


def test_single_samples_have_no_cpu_time_where_the_system_does_not_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "getrusage", None)
    window = run_window(lambda: None, WindowRule(3, 0, 10**9))
    assert (window.sample_cpu_ns, window.sample_switches) == ((), ())
    assert len(window.samples_ns) == 3


def test_time_on_the_device_is_asked_after_each_call_outside_its_span(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 0

    def takes(ms: int) -> None:
        nonlocal clock
        clock += ms * MS

    def device_ms() -> float:
        takes(5)
        return clock / MS

    monkeypatch.setattr(loop, "perf_counter_ns", lambda: clock)
    window = run_window(lambda: takes(2), WindowRule(3, 0, 10**12), device_ms)
    assert window.samples_ns == (2 * MS, 2 * MS, 2 * MS)
    assert window.device_ns == (7 * MS, 14 * MS, 21 * MS)
    assert window.wall_ns() == 16 * MS
    assert run_window(lambda: None, WindowRule(2, 0, 10**12)).device_ns == ()


def test_window_that_is_timed_on_is_one_window() -> None:
    first = Window((5, 6), (5, 12), 20, (4, 5), (0, 1), (3, 4))
    both = first.followed_by(Window((7,), (8,), 9, (6,), (2,), (5,)))
    assert both == Window((5, 6, 7), (5, 12, 20), 29, (4, 5, 6), (0, 1, 2), (3, 4, 5))
    assert both.wall_ns() == first.wall_ns() + 8


def test_wall_time_of_a_cut_window_begins_where_the_last_cut_sample_ended() -> None:
    window = Window((5, 6, 7), (5, 12, 20), 29)
    assert [window.wall_ns(cut) for cut in range(3)] == [20, 15, 8]
