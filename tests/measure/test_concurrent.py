"""Streams: all timed under the same load, nothing lost, throughput from wall time."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

import pytest

from deploybench.measure.concurrent import run_streams
from deploybench.measure.stopping import WindowRule

MS = 1_000_000
Call = Callable[[], object]

pytestmark = pytest.mark.measures


def nothing() -> None:
    return


def sleeper(ms: float) -> Call:
    return lambda: time.sleep(ms / 1e3)


def rule(samples: int = 1, duration_ms: float = 0, limit_ms: float = 10_000) -> WindowRule:
    return WindowRule(samples, int(duration_ms * MS), int(limit_ms * MS))


def test_four_streams_have_four_times_the_throughput_when_the_calls_do_not_compete() -> None:
    def per_second(streams: int) -> float:
        window = run_streams([sleeper(5)] * streams, [nothing] * streams, rule(duration_ms=250))
        return len(window.samples_ns) / (window.wall_ns() / 1e9)

    assert 2.8 < per_second(4) / per_second(1) < 5


def test_throughput_is_of_wall_time_when_the_calls_take_turns() -> None:
    lock = threading.Lock()

    def turn() -> None:
        with lock:
            time.sleep(0.005)

    window = run_streams([turn] * 4, [nothing] * 4, rule(samples=5, duration_ms=200))
    assert len(window.samples_ns) / (window.wall_ns() / 1e9) <= 200
    assert sum(window.samples_ns) > 2 * window.wall_ns()


@pytest.mark.parametrize("streams", [1, 2, 5])
def test_no_call_is_lost_and_each_stream_makes_enough(streams: int) -> None:
    counts = [0] * streams

    def counting(number: int) -> Call:
        def call() -> None:
            counts[number] += 1
            time.sleep(0.001 * (1 + number))

        return call

    window = run_streams(
        [counting(number) for number in range(streams)], [nothing] * streams, rule(samples=10)
    )
    assert len(window.samples_ns) == sum(counts)
    assert min(counts) >= 10
    assert max(window.samples_ns) <= window.wall_ns()


def test_fast_stream_goes_on_until_the_slow_one_has_enough() -> None:
    window = run_streams([sleeper(1), sleeper(30)], [nothing] * 2, rule(samples=5))
    slow = [sample for sample in window.samples_ns if sample >= 30 * MS]
    assert len(slow) >= 5
    assert len(window.samples_ns) > 5 * len(slow)
    assert window.wall_ns() >= 150 * MS


def test_samples_come_in_the_order_in_which_they_ended() -> None:
    window = run_streams([sleeper(140), sleeper(40)], [nothing] * 2, rule())
    longest = window.samples_ns.index(max(window.samples_ns))
    assert 0 < longest < len(window.samples_ns) - 1


def test_window_ends_at_the_limit_when_there_are_never_enough_samples() -> None:
    window = run_streams([sleeper(5)] * 2, [nothing] * 2, rule(samples=1_000_000, limit_ms=50))
    assert 50 * MS <= window.wall_ns() < 500 * MS


def test_each_thread_is_prepared_once_before_any_stream_starts() -> None:
    events: list[tuple[str, int]] = []

    def event(name: str) -> Call:
        def call() -> None:
            events.append((name, threading.get_ident()))
            time.sleep(0.01)

        return call

    run_streams([event("call")] * 3, [event("prepare")] * 3, rule(samples=2))
    names = [name for name, _ in events]
    assert names[:3] == ["prepare"] * 3
    assert names.count("prepare") == 3
    assert {thread for name, thread in events if name == "call"} == {
        thread for _, thread in events[:3]
    }
    assert len({thread for _, thread in events}) == 3
    assert threading.get_ident() in {thread for _, thread in events}, (
        "the caller's thread runs the first stream"
    )


@pytest.mark.parametrize("where", ["prepare", "first call", "later call"])
def test_error_in_one_stream_ends_all_and_is_raised(where: str) -> None:
    calls = 0

    def failing() -> None:
        nonlocal calls
        calls += 1
        if where == "first call" or (where == "later call" and calls == 3):
            raise ArithmeticError("the second stream's own words")
        time.sleep(0.002)

    def prepare() -> None:
        if where == "prepare":
            raise ArithmeticError("the second stream's own words")

    start = time.perf_counter()
    with pytest.raises(ArithmeticError, match="the second stream's own words"):
        run_streams(
            [sleeper(1), failing], [nothing, prepare], rule(samples=1_000_000, limit_ms=20_000)
        )
    assert time.perf_counter() - start < 5
    assert gc.isenabled()


def test_garbage_collector_is_off_inside_and_as_before_outside() -> None:
    seen: list[bool] = []
    run_streams([lambda: seen.append(gc.isenabled())] * 2, [nothing] * 2, rule(samples=3))
    assert not any(seen)
    assert gc.isenabled()
