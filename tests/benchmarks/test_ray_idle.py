"""The comparison of Ray's idle load, with a process that does nothing in the place of a node."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from benchmarks.ray_idle import Found, compare


@pytest.mark.measures
def test_a_process_that_sleeps_takes_nothing_and_is_awake_afterwards() -> None:
    program = "import time; print(flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()  # it has started, and sleeps now
        found = compare([psutil.Process(child.pid)], pairs=6, block_s=0.05)
        assert psutil.Process(child.pid).status() != psutil.STATUS_STOPPED
    finally:
        child.kill()
        child.wait()

    assert found.low <= found.ratio <= found.high
    assert found.cpu_share < 0.05


@pytest.mark.parametrize(
    ("low", "high", "code"), [(0.995, 1.005, 0), (1.02, 1.04, 1), (0.98, 1.03, 3), (0.9, 0.98, 1)]
)
def test_the_exit_code_says_whether_it_is_within_one_percent(
    low: float, high: float, code: int
) -> None:
    assert Found(10, (low + high) / 2, low, high, 0.01).code == code
