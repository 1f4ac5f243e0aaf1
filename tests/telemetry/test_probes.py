"""The probes read this machine, and a broken one does not stop a measurement."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.hardware import places
from deploybench.results.launch import Probes
from deploybench.telemetry import probes
from deploybench.telemetry.probes import probe_machine

UNREAD = {"compute_us": None, "memory_ms": None, "hop_ns": None}
CPUS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
CORES = len(CPUS)
two_cores = pytest.mark.skipif(CORES < 2, reason="the hop is between two cores")


@pytest.mark.measures
@two_cores
def test_probes_of_this_machine_are_positive_and_plausible() -> None:
    found = Probes.model_validate(probe_machine(2, CPUS))
    assert found.compute_us is not None
    assert found.memory_ms is not None
    assert found.hop_ns is not None
    assert 5 < found.compute_us < 5000
    assert 0.5 < found.memory_ms < 500
    assert 10 < found.hop_ns < 100_000


@pytest.mark.measures
def test_budget_of_one_thread_has_no_hop_but_the_other_readings() -> None:
    assert probes.budget(1, {0, 1}) == []
    found = probe_machine(1, CPUS)
    assert found["hop_ns"] is None
    assert found["compute_us"]
    assert found["memory_ms"]


def test_budget_is_one_cpu_of_each_core_that_the_threads_belong_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "first_of_each_core", lambda threads, cpus: sorted(cpus)[-threads:])
    assert probes.budget(2, {4, 5, 6, 8, 9}) == [8, 9]


def test_there_is_no_hop_between_cores_where_processes_cannot_be_pinned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    assert probes.budget(2, {0, 1}) == []


def test_there_is_no_hop_when_this_process_may_use_one_core_only() -> None:
    assert probes.budget(2, {3}) == []


@pytest.mark.parametrize(
    "code",
    [
        "raise SystemExit(3)",
        "print('no JSON')",
        "import os; os.kill(os.getpid(), 9)",
        "import time; time.sleep(9)",
    ],
)
def test_probe_that_breaks_gives_no_readings(
    code: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(code)
    monkeypatch.setattr(probes, "__file__", str(broken))
    monkeypatch.setattr(probes, "TIME_LIMIT_S", 0.3)
    assert probe_machine(2, CPUS) == UNREAD


def test_probe_gives_no_readings_when_it_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert probe_machine(2, CPUS) == UNREAD


@two_cores
def test_probe_leaves_no_process_behind() -> None:
    import psutil

    probe_machine(2, CPUS)
    left = [
        child
        for child in psutil.Process().children(recursive=True)
        if "probes.py" in " ".join(child.cmdline())
    ]
    assert left == []


@two_cores
def test_probe_takes_no_package_of_ours_or_others() -> None:
    """What it imports would be paid for around every launch."""
    code = (
        f"import sys, runpy; sys.argv = ['probes.py', '']; runpy.run_path({probes.__file__!r}, "
        f"run_name='__main__'); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    assert not [
        name for name in loaded if name.startswith(("deploybench", "numpy", "psutil", "pydantic"))
    ]
