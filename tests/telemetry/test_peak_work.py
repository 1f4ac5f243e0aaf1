"""What the peaks are measured with: each piece is visited, and its fastest call counts."""

from __future__ import annotations

import pytest

from deploybench.children.processes import run_child
from deploybench.telemetry import peak_work
from deploybench.telemetry.activity import Activity
from deploybench.telemetry.canary import environment_of
from deploybench.telemetry.peak_work import (
    ALWAYS,
    MATRIX_SIZES,
    PeakRequest,
    PeakRun,
    Work,
    most_of,
)


class Clock:
    """Seconds that pass only in calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(peak_work, "perf_counter", lambda: self.now)

    def taking(self, *seconds: float) -> Work:
        """Work of 1e9 bytes whose calls take these seconds in turn."""
        turn = [*seconds]

        def call() -> None:
            took = turn.pop(0)
            turn.append(took)
            self.now += took

        return Work("piece", 1e9, call)


def test_the_fastest_call_of_all_visits_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert most_of([clock.taking(0.05, 0.04, 0.02, 0.09, 0.06)], 1.0)["piece"] == pytest.approx(50)


def test_the_fastest_call_of_one_visit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    most = most_of([clock.taking(0.01, 0.004, 0.002, 0.009)], 0.0)
    assert most["piece"] == pytest.approx(500)


def test_the_first_call_of_a_visit_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert most_of([clock.taking(0.001, 0.1)], 0.3)["piece"] == pytest.approx(10)


def test_the_better_of_two_sizes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert most_of([clock.taking(0.1), clock.taking(0.04)], 1.0)["piece"] == pytest.approx(25)


def test_slow_work_is_visited_once_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    assert most_of([clock.taking(10.0), clock.taking(20.0)], 1.0)["piece"] == pytest.approx(0.1)
    assert clock.now == 2 * 10 + 2 * 20


@pytest.mark.parametrize("size", MATRIX_SIZES)
def test_a_product_is_two_flops_a_multiply_add(size: int) -> None:
    amounts = [work.amount for work in peak_work._numpy_products()]
    assert 2 * size * size * size in amounts


def test_memory_counts_the_bytes_that_move() -> None:
    assert peak_work._copy(1).amount == 2 * peak_work.COPY_BYTES
    assert peak_work._read(1).amount == peak_work.COPY_BYTES


@pytest.mark.measures
def test_the_child_measures_what_was_asked() -> None:
    request = PeakRequest(threads=2, pieces=ALWAYS, seconds=0.0)
    outcome = run_child(
        "deploybench.telemetry.peak_work",
        request.model_dump_json(),
        time_limit_s=60,
        environment=environment_of(2),
    )
    assert outcome.reply is not None, outcome.log
    found = PeakRun.model_validate_json(outcome.reply)
    assert set(found.figures) == set(ALWAYS)


def activity(foreign: float | None) -> Activity:
    return Activity(
        wall_s=4.0,
        foreign_cpu_share=foreign,
        steal_share=0.0,
        share_resolution=0.0025,
        involuntary_switches=0,
        load_1m=0.0,
        frequency_mhz=None,
        throttle_events=None,
    )


@pytest.mark.parametrize(
    ("foreign", "words"), [(None, None), (0.02, None), (0.25, "other processes took 25%")]
)
def test_disturbed_is_more_than_an_idle_system_does(
    foreign: float | None, words: str | None
) -> None:
    found = peak_work._disturbed(activity(foreign), cpus=2)
    assert (found is None) == (words is None)
    assert found is None or found.startswith(str(words))
