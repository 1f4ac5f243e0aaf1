"""The system under test with made-up sessions: what it computes, how it queues, what an error
does."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from deploybench.contracts import Arrays, Session, SessionFacts
from deploybench.scenarios.loadgen import run_test
from deploybench.scenarios.settings import Scenario, ScenarioSettings
from deploybench.scenarios.system import Images, System

PIXELS = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)


class CountingSession(Session):
    """Keeps what it was asked and in which thread; takes ``seconds`` a call; raises at call
    ``broken``."""

    def __init__(self, batch: int, seconds: float = 0.0, broken: int | None = None) -> None:
        super().__init__({"input": (batch, 1, 1, 1)})
        self.calls: list[list[float]] = []
        self.threads: set[int] = set()
        self._seconds = seconds
        self._broken = broken

    def _infer(self, inputs: Arrays) -> Arrays:
        self.calls.append(inputs["input"].ravel().tolist())
        self.threads.add(threading.get_ident())
        if len(self.calls) == self._broken:
            raise RuntimeError("no such kernel")
        time.sleep(self._seconds)
        return {"logits": inputs["input"]}

    def facts(self) -> SessionFacts:
        return SessionFacts("fp32", 1, "counting", "cpu")


def settings(scenario: Scenario, **changes: object) -> ScenarioSettings:
    quick = ScenarioSettings(scenario=scenario, percentile=90, min_duration_s=0, min_queries=20)
    return quick.model_copy(update=changes)


def run(sessions: list[CountingSession], asked: ScenarioSettings) -> tuple[System, int]:
    """Run a test; the system, and how many latencies LoadGen has."""
    images = Images("input", PIXELS, asked.batch)
    with System(sessions, images, queued=asked.scenario.concurrent) as system:
        found = run_test(asked, system.issue, images=len(images), expected_call_ns=1e6)
    return system, len(found.latencies_ns)


def test_batch_that_is_not_full_is_padded_with_its_last_image() -> None:
    images = Images("input", PIXELS, 3)
    batches = [images.inputs(batch)["input"].ravel().tolist() for batch in images.batches(range(5))]
    assert batches == [[0, 1, 2], [3, 4, 4]]


def test_streams_are_answered_in_loadgen_s_thread_in_batches() -> None:
    session = CountingSession(batch=3)
    asked = settings(Scenario.MULTI_STREAM, samples_per_query=8, batch=3)
    _, latencies = run([session], asked)
    assert latencies == 20
    assert len(session.calls) == 20 * 3
    assert session.threads == {threading.get_ident()}


def test_offline_batches_are_shared_among_the_instances() -> None:
    sessions = [CountingSession(2, seconds=0.002), CountingSession(2, seconds=0.002)]
    _, latencies = run(
        list(sessions), settings(Scenario.OFFLINE, min_queries=41, batch=2, instances=2)
    )
    assert latencies == 41
    assert sum(len(session.calls) for session in sessions) == 21
    assert min(len(session.calls) for session in sessions) >= 5
    assert sessions[0].threads.isdisjoint(sessions[1].threads)


@pytest.mark.measures
def test_server_waiting_time_is_part_of_the_latency() -> None:
    asked = settings(Scenario.SERVER, min_queries=20, target_qps=2000.0, latency_bound_ms=1000.0)
    images = Images("input", PIXELS, 1)
    with System([CountingSession(1, seconds=0.005)], images, queued=True) as system:
        found = run_test(asked, system.issue, images=len(images), expected_call_ns=1e6)
    assert max(found.latencies_ns) > 10 * 5e6  # twenty queries arrive within 10 ms, each takes 5


@pytest.mark.measures
def test_server_test_ends_when_the_queue_can_only_grow() -> None:
    asked = settings(Scenario.SERVER, min_queries=2000, target_qps=10_000.0, latency_bound_ms=1.0)
    images = Images("input", PIXELS, 1)
    with System([CountingSession(1, seconds=0.002)], images, queued=True) as system:
        found = run_test(asked, system.issue, images=len(images), expected_call_ns=1e6)
    assert not found.valid
    assert found.query_count < 500
    assert any("Too many outstanding queries" in sentence for sentence in found.advice)


@pytest.mark.parametrize("scenario", [Scenario.SINGLE_STREAM, Scenario.OFFLINE])
def test_error_of_the_runtime_is_kept_and_the_test_ends(scenario: Scenario) -> None:
    session = CountingSession(1, broken=3)
    system, latencies = run([session], settings(scenario))
    assert str(system.error) == "no such kernel"
    assert len(session.calls) == 3
    assert latencies == 20
    assert threading.active_count() == 1 or not any(
        thread.name.startswith("Thread-") for thread in threading.enumerate()
    )
