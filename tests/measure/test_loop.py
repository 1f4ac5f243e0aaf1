"""The loop counts every call, and times the call and nothing else."""

from __future__ import annotations

import gc
import time

import pytest

from deploybench.measure.loop import run_window
from deploybench.measure.stopping import WindowRule


def test_window_holds_one_sample_a_call_and_no_call_is_lost() -> None:
    calls = []
    window = run_window(lambda: calls.append(1), WindowRule(25, 0, 10**9))
    assert len(window.samples_ns) == len(calls) == 25


def test_samples_are_no_shorter_than_the_call_and_the_window_no_shorter_than_its_samples() -> None:
    window = run_window(lambda: time.sleep(0.002), WindowRule(5, 0, 10**9))
    assert min(window.samples_ns) >= 2_000_000
    assert window.wall_ns >= sum(window.samples_ns)


def test_collector_is_off_inside_the_window_and_back_afterwards_even_when_the_call_raises() -> None:
    seen = []
    run_window(lambda: seen.append(gc.isenabled()), WindowRule(1, 0, 10**9))
    assert seen == [False]

    def fail() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        run_window(fail, WindowRule(1, 0, 10**9))
    assert gc.isenabled()


def test_cpu_time_is_near_zero_when_the_call_sleeps() -> None:
    window = run_window(lambda: time.sleep(0.05), WindowRule(3, 0, 10**9))
    assert window.cpu_ns < window.wall_ns / 2
