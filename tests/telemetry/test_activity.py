"""Foreign work is seen, own work is not taken for it, and what a machine does not tell is None."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from deploybench.hardware.quotas import Throttling
from deploybench.telemetry.activity import (
    CpuTimes,
    OwnUsage,
    Snapshot,
    between,
    read_activity,
    tick_s,
    usable_cpus,
)

linux = pytest.mark.skipif(
    not Path("/proc/stat").exists(), reason="CPU time is read from /proc/stat"
)

STAT = """\
cpu  1000 10 500 8000 200 5 15 90 300 4
cpu0 100 10 50 800 20 1 2 30 60 5
cpu1 200 0 150 1600 40 0 3 10 0 0
cpu2 700 0 300 5600 140 4 10 50 240 0
intr 5021097 0 0 0
ctxt 84211
"""
CPUINFO_CPU = (
    "processor\t: {cpu}\nvendor_id\t: GenuineIntel\ncpu MHz\t\t: {mhz}\nflags\t\t: fpu "
    "vme de{flag}\n\n"
)
WINDOW_S = 0.4
TOLERANCE = 0.2  # of a window: ticks are sampled
fork = multiprocessing.get_context("fork") if hasattr(os, "fork") else multiprocessing


def machine(folder: Path, files: dict[str, str]) -> dict[str, Path]:
    """A folder of /proc and /sys files, as arguments of ``read_activity``."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return {"proc": folder / "proc", "cpu_folder": folder / "cpu"}


def snapshot(
    at_s: float, busy_s: float = 0, steal_s: float = 0, own_s: float = 0, cpus: int = 2
) -> Snapshot:
    return Snapshot(
        clock_ns=int(at_s * 1e9),
        cpus=frozenset(range(cpus)),
        times=CpuTimes(busy_s, 0.0, steal_s),
        own=OwnUsage(own_s, 3),
        load_1m=1.5,
        frequency_mhz=2000.0,
        throttle_count=7,
    )


def test_cpu_times_are_of_the_asked_cpus_and_count_guests_once(tmp_path: Path) -> None:
    found = read_activity(frozenset({0, 1}), **machine(tmp_path, {"proc/stat": STAT}))
    assert found.times is not None
    assert found.times.busy_s == pytest.approx((163 + 353) * tick_s())
    assert found.times.idle_s == pytest.approx((820 + 1640) * tick_s())
    assert found.times.steal_s == pytest.approx(40 * tick_s())


def test_cpu_times_are_unknown_when_a_cpu_is_offline(tmp_path: Path) -> None:
    assert read_activity(frozenset({0, 3}), **machine(tmp_path, {"proc/stat": STAT})).times is None


def test_nothing_is_told_but_nothing_raises_when_there_is_no_proc(tmp_path: Path) -> None:
    nowhere = machine(tmp_path, {})
    found = between(read_activity(**nowhere), read_activity(**nowhere))
    assert (found.foreign_cpu_share, found.steal_share, found.share_resolution) == (
        None,
        None,
        None,
    )
    assert (found.frequency_mhz, found.throttle_events) == (None, None)
    assert found.wall_s > 0


def test_foreign_share_is_what_is_busy_beyond_own_work() -> None:
    found = between(snapshot(10, busy_s=100, own_s=1), snapshot(12, busy_s=103, own_s=3))
    assert found.foreign_cpu_share == pytest.approx((3 - 2) / (2 * 2))


def test_foreign_share_is_zero_when_ticks_count_less_than_own_work() -> None:
    assert between(snapshot(10), snapshot(11, busy_s=0.99, own_s=1)).foreign_cpu_share == 0


def test_steal_is_a_share_of_its_own() -> None:
    found = between(snapshot(10, steal_s=5), snapshot(12, steal_s=6))
    assert found.steal_share == pytest.approx(1 / 4)
    assert found.foreign_cpu_share == 0


def test_share_resolution_is_one_tick_of_the_wall_time() -> None:
    assert between(snapshot(10), snapshot(10.1)).share_resolution == pytest.approx(tick_s() / 0.1)


def test_shares_and_throttling_are_unknown_when_the_snapshots_are_of_different_cpus() -> None:
    found = between(snapshot(10, cpus=2), snapshot(11, cpus=1))
    assert (found.foreign_cpu_share, found.steal_share, found.throttle_events) == (None, None, None)


def test_switches_and_throttle_events_are_increases() -> None:
    before = snapshot(10)
    after = replace(snapshot(11), own=OwnUsage(0, 13), throttle_count=9)
    found = between(before, after)
    assert (found.involuntary_switches, found.throttle_events) == (10, 2)


def test_waiting_for_a_quota_is_an_increase_and_a_share_of_the_cpus_time() -> None:
    before = replace(snapshot(10), quota=Throttling(5, 1.0))
    found = between(before, replace(snapshot(12), quota=Throttling(9, 1.4)))
    assert (found.quota_throttled, found.quota_share) == (4, pytest.approx(0.4 / (2 * 2)))
    untold = between(before, replace(snapshot(12), quota=Throttling(9, None)))
    assert (untold.quota_throttled, untold.quota_share) == (4, None)
    assert between(snapshot(10), snapshot(12)).quota_throttled is None


def test_frequency_is_the_mean_of_both_ends_and_of_the_one_that_is_known() -> None:
    before, after = snapshot(10), replace(snapshot(11), frequency_mhz=3000.0)
    assert between(before, after).frequency_mhz == 2500
    assert between(replace(before, frequency_mhz=None), after).frequency_mhz == 3000


def test_frequency_and_throttling_of_a_hybrid_cpu_are_of_the_asked_cores(tmp_path: Path) -> None:
    where = machine(
        tmp_path,
        {
            "cpu/cpu0/cpufreq/scaling_cur_freq": "4800000\n",
            "cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
            "cpu/cpu0/thermal_throttle/package_throttle_count": "10\n",
            "cpu/cpu8/cpufreq/scaling_cur_freq": "3600000\n",
            "cpu/cpu8/thermal_throttle/core_throttle_count": "0\n",
            "cpu/cpu8/thermal_throttle/package_throttle_count": "10\n",
            "cpu/cpu9/cpufreq/scaling_cur_freq": "800000\n",
            "cpu/cpu9/thermal_throttle/core_throttle_count": "500\n",
        },
    )
    found = read_activity(frozenset({0, 8}), **where)
    assert found.frequency_mhz == 4200
    assert found.throttle_count == 23


def test_throttling_is_unknown_when_there_are_no_counters_as_on_amd(tmp_path: Path) -> None:
    found = read_activity(
        frozenset({0}), **machine(tmp_path, {"cpu/cpu0/cpufreq/scaling_cur_freq": "2450000\n"})
    )
    assert found.frequency_mhz == 2450
    assert found.throttle_count is None


def test_frequency_comes_from_cpuinfo_when_there_is_no_cpufreq_driver(tmp_path: Path) -> None:
    text = CPUINFO_CPU.format(cpu=0, mhz="2100.500", flag="") + CPUINFO_CPU.format(
        cpu=1, mhz="900.0", flag=""
    )
    assert (
        read_activity(frozenset({0}), **machine(tmp_path, {"proc/cpuinfo": text})).frequency_mhz
        == 2100.5
    )


def test_frequency_is_unknown_when_cpuinfo_is_that_of_a_virtual_machine(tmp_path: Path) -> None:
    text = CPUINFO_CPU.format(cpu=0, mhz="2445.430", flag=" hypervisor lahf_lm")
    assert (
        read_activity(frozenset({0}), **machine(tmp_path, {"proc/cpuinfo": text})).frequency_mhz
        is None
    )


def burn(cpu: int, seconds: float) -> None:
    """Keep one CPU busy from this process."""
    os.sched_setaffinity(0, {cpu})
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.measures
@linux
def test_foreign_share_rises_when_a_neighbour_is_busy_on_the_same_cpu() -> None:
    cpu = min(usable_cpus())
    neighbour = fork.Process(target=burn, args=(cpu, 30))
    neighbour.start()
    try:
        before = read_activity(frozenset({cpu}))
        time.sleep(WINDOW_S)
        found = between(before, read_activity(frozenset({cpu})))
    finally:
        neighbour.kill()
        neighbour.join()
    assert found.foreign_cpu_share is not None
    assert 0.6 <= found.foreign_cpu_share <= 1 + TOLERANCE


@pytest.mark.measures
@linux
@pytest.mark.parametrize("in_child", [False, True], ids=["itself", "an_ended_child"])
def test_own_work_is_not_foreign_when_done_by(in_child: bool) -> None:
    """On a busy machine others are rightly seen; own and foreign work together never exceed the one
    CPU."""
    cpus = usable_cpus()
    cpu = min(cpus)
    before, times_before = read_activity(frozenset({cpu})), os.times()
    try:
        if in_child:
            child = fork.Process(target=burn, args=(cpu, WINDOW_S))
            child.start()
            child.join()
        else:
            burn(cpu, WINDOW_S)
        found, times_after = between(before, read_activity(frozenset({cpu}))), os.times()
    finally:
        os.sched_setaffinity(0, cpus)
    own_share = (sum(times_after[:4]) - sum(times_before[:4])) / found.wall_s
    assert found.foreign_cpu_share is not None
    if own_share < 2 * TOLERANCE:
        pytest.skip("others left too little of this CPU to tell own work from theirs")
    assert found.foreign_cpu_share + own_share <= 1 + TOLERANCE
