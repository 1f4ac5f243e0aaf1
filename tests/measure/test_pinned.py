"""Workers that are pinned: what really ran stays there, or is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.children.inherited import can_pin
from deploybench.contracts import Runner
from deploybench.measure import preparing
from deploybench.measure.job import Job
from deploybench.measure.preparing import Ready, prepared, timed_launch
from deploybench.measure.proof import misplaced
from deploybench.measure.scheduler import run_job
from deploybench.measure.timed import TimedCalls
from deploybench.results.launch import EnergyReading, Launch
from tests.records import surroundings

FORMAT_OF = {"onnxruntime": "onnx", "openvino": "openvino", "pytorch": "pytorch"}


def job(**changes: object) -> Job:
    asked = {
        "artifact": "/a",
        "runner": "pytorch",
        "device": "cpu",
        "precision": "fp32",
        "batch": 1,
        "threads": 1,
        "duration_s": 0.2,
        "min_samples": 5,
    }
    return Job.model_validate({**asked, **changes})


@pytest.mark.parametrize(
    ("pin", "cpus", "outside"),
    [
        ((0, 1), {0, 1}, None),
        ((0, 1), {1}, None),  # a runtime may give each thread a CPU of its own
        ((0, 1), {0, 1, 2, 3}, "2-3"),
        ((4,), {0}, "0"),
        ((), {0, 1}, None),
        ((0, 1), None, None),
    ],
)
def test_what_left_its_cpus_is_refused(
    pin: tuple[int, ...], cpus: set[int] | None, outside: str | None
) -> None:
    refused = misplaced(pin, cpus)
    assert (refused is None) == (outside is None)
    assert f"may also run on {outside}:" in (refused or f"may also run on {outside}:")


def test_worker_that_did_not_start_where_it_was_pinned_loads_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(preparing, "usable_cpus", lambda: frozenset({0, 1, 2, 3}))
    nothing = SimpleNamespace()
    with prepared(job(pin=(0, 1)), cast(Artifact, nothing), cast(Runner, nothing), None) as ready:
        assert not ready.holds
        assert "pinned to CPUs 0-1" in (ready.launch.refused or "")
        assert ready.launch.pinned == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("ran_on", "words"),
    [((0, 1), None), ((0,), "on no more than 1 CPU (0)"), ((0, 1, 5), "may also run on 5")],
)
def test_threads_of_the_calls_are_held_to_the_pinned_cpus(
    ran_on: tuple[int, ...], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = TimedCalls(
        samples_ns=(1,) * 20,
        sample_cpu_ns=(),
        sample_switches=(),
        device_ns=(),
        warm_up=0,
        unsettled=None,
        window_ns=20,
        window_cpu_ns=20,
        surroundings=surroundings(),
        energy=EnergyReading(joules=None, source="none"),
        threads_cpus=ran_on,
    )
    monkeypatch.setattr(preparing, "time_calls", lambda *_: timed)
    ready = Ready(Launch(pinned=(0, 1)), frozenset({0, 1}))
    launch = timed_launch(job(pin=(0, 1), threads=2), ready)
    assert launch.pinned == (0, 1)
    assert (launch.refused is None) == (words is None)
    assert (words or "") in (launch.refused or "")


@pytest.mark.skipif(not can_pin(), reason="this system pins no processes")
@pytest.mark.parametrize("runner", FORMAT_OF)
def test_every_runtime_stays_on_the_one_cpu_that_it_is_pinned_to(
    runner: str, tiny_artifact: Callable[[str], Artifact]
) -> None:
    artifact = tiny_artifact(FORMAT_OF[runner])
    cpu = max(os.sched_getaffinity(0))
    launch = run_job(job(artifact=str(artifact.path), runner=runner, pin=(cpu,)))
    assert (launch.error, launch.refused) == (None, None)
    assert launch.pinned == launch.threads_cpus == (cpu,)
    assert launch.surroundings is not None
    assert launch.surroundings.cpus == 1


def test_launch_that_is_left_to_the_system_says_so(
    tiny_artifact: Callable[[str], Artifact],
) -> None:
    launch = run_job(job(artifact=str(tiny_artifact("onnx").path), runner="onnxruntime"))
    assert launch.measured
    assert launch.pinned is None
