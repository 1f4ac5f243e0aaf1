"""The hop between two cores, read by two real processes."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest

from deploybench.hardware.quotas import affinity
from deploybench.telemetry.hop import HopProbe

pytestmark = pytest.mark.skipif(
    len(affinity()) < 2 or not hasattr(os, "memfd_create"),
    reason="a hop is between two CPUs, on Linux",
)


@pytest.fixture
def cpus() -> list[int]:
    return sorted(affinity())[:2]


def partner() -> psutil.Process:
    (child,) = [
        child
        for child in psutil.Process().children()
        if any(word.endswith("hop.py") for word in child.cmdline())
    ]
    return child


def test_a_hop_takes_tens_to_thousands_of_nanoseconds(cpus: list[int]) -> None:
    allowed = os.sched_getaffinity(0)
    with HopProbe(cpus) as probe:
        for _ in range(3):
            assert 5 < probe.read_ns() < 50_000
    assert os.sched_getaffinity(0) == allowed, "it was pinned for the reading alone"


def test_the_partner_takes_no_time_between_two_readings(cpus: list[int]) -> None:
    with HopProbe(cpus) as probe:
        probe.read_ns()
        before = partner().cpu_times()
        time.sleep(0.5)
        after = partner().cpu_times()
    assert after.user + after.system - before.user - before.system <= 0.02


def test_the_partner_ends_with_the_probe(cpus: list[int]) -> None:
    with HopProbe(cpus):
        child = partner()
    assert not child.is_running()


def test_a_partner_that_is_no_more_is_an_error_and_no_endless_wait(
    cpus: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploybench.telemetry.hop.PATIENCE", 1000)
    with HopProbe(cpus) as probe:
        child = partner()
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        with pytest.raises(OSError, match=r"does not answer|Broken pipe"):
            probe.read_ns()


def test_the_partner_ends_when_its_pipe_is_closed(cpus: list[int]) -> None:
    """As when the process at this end is killed."""
    with HopProbe(cpus) as probe:
        child = partner()
        stdin = probe._partners[0]._child.stdin
        assert stdin is not None
        stdin.close()
        child.wait(10)


def test_a_probe_that_cannot_start_leaves_no_partner(
    cpus: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> None:
        raise OSError("no process can be started")

    monkeypatch.setattr("subprocess.Popen", none_left)
    with pytest.raises(OSError, match="no process"):
        HopProbe(cpus)
    assert not [child for child in psutil.Process().children() if "hop.py" in child.cmdline()]
