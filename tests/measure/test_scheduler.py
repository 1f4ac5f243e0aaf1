"""What a worker is started with."""

from __future__ import annotations

import pytest

from deploybench.children.processes import HERE, ChildOutcome, Interpreter
from deploybench.measure import scheduler
from deploybench.measure.job import Job


def test_worker_numbers_the_gpus_as_nvml_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else cuda:1 could be another card than the one that the host was described with and that is
    watched."""
    given: list[dict[str, str]] = []

    def run_child(
        module: str,
        request: str,
        *,
        time_limit_s: float,
        environment: dict[str, str],
        cpus: tuple[int, ...],
        interpreter: Interpreter,
    ) -> ChildOutcome:
        assert cpus == ()
        assert interpreter == HERE
        given.append(environment)
        return ChildOutcome(reply=None, error="not started in this test", log="")

    monkeypatch.setattr(scheduler, "run_child", run_child)
    launch = scheduler.run_job(
        Job(artifact="", runner="r", device="cuda:1", precision="fp32", batch=1, threads=3)
    )
    assert launch.error == "not started in this test"
    assert given[0]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert given[0]["OMP_NUM_THREADS"] == "3"
