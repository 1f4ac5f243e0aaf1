"""LoadGen's numbers and ours on the same latencies, and its verdict taken over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from deploybench.scenarios.loadgen import PERCENTILES, LoadGenResult, answer, run_test
from deploybench.scenarios.settings import Scenario, ScenarioSettings, queries_for_early_stopping
from deploybench.statistics.samples import nearest_rank

IMAGES = 4
EXPECTED_NS = 100_000.0


def settings(scenario: Scenario, queries: int, **changes: object) -> ScenarioSettings:
    server = scenario is Scenario.SERVER
    one = ScenarioSettings(
        scenario=scenario,
        percentile=scenario.default_percentile,
        min_duration_s=0,
        min_queries=queries,
        target_qps=20_000 if server else None,
        latency_bound_ms=1000 if server else None,
        samples_per_query=3 if scenario is Scenario.MULTI_STREAM else 1,
    )
    return one.model_copy(update=changes)


def pause(samples: Sequence[Any]) -> None:
    """A system that takes up to 100 us for a query."""
    sleep(random.uniform(0, 1e-4))
    answer([sample.id for sample in samples])


def measured(
    scenario: Scenario,
    queries: int,
    issue: Callable[[Sequence[Any]], None] = pause,
    **changes: object,
) -> LoadGenResult:
    return run_test(
        settings(scenario, queries, **changes), issue, images=IMAGES, expected_call_ns=EXPECTED_NS
    )


def differing(found: LoadGenResult) -> list[str]:
    """The percentiles that are not ours."""
    ours = {
        name: nearest_rank(found.latencies_ns, round(float(name) / 100, 4)) for name in PERCENTILES
    }
    return [name for name in PERCENTILES if ours[name] != found.percentiles_ns[name]]


@pytest.mark.parametrize(
    "scenario", [Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM, Scenario.SERVER]
)
@pytest.mark.parametrize("queries", [1, 3, 29, 333, 1001])
def test_percentiles_are_loadgen_s_where_the_rank_is_a_fraction(
    scenario: Scenario, queries: int
) -> None:
    assert differing(measured(scenario, queries)) == []


@pytest.mark.parametrize("queries", [2, 10, 100, 1000])
def test_percentiles_are_loadgen_s_where_the_rank_is_whole(queries: int) -> None:
    assert differing(measured(Scenario.SINGLE_STREAM, queries)) == []


@pytest.mark.parametrize("scenario", list(Scenario))
def test_every_latency_is_taken_from_loadgen(scenario: Scenario) -> None:
    found = measured(scenario, 50)
    assert (
        len(found.latencies_ns) == (50 if scenario is Scenario.OFFLINE else found.query_count) == 50
    )
    assert sorted(found.latencies_ns)[25] == found.percentiles_ns["50.00"]
    assert max(found.latencies_ns) == found.percentiles_ns["99.90"]


def test_latencies_are_in_order_of_issue() -> None:
    slow = iter([1, 1, 1, 20, 1])

    def one_is_slow(samples: Sequence[Any]) -> None:
        sleep(next(slow) / 1e3)
        answer([sample.id for sample in samples])

    latencies = measured(Scenario.SINGLE_STREAM, 5, one_is_slow).latencies_ns
    assert latencies.index(max(latencies)) == 3
    assert latencies[3] > 20e6


@pytest.mark.parametrize("percentile", [80, 90, 95, 99, 99.9])
def test_loadgen_asks_for_as_many_queries_as_we_give_it(percentile: float) -> None:
    found = measured(Scenario.SINGLE_STREAM, 2, percentile=percentile)
    assert not found.valid
    assert found.unmet == ("early stopping",)
    assert (
        f"at least {queries_for_early_stopping(percentile)} queries for early stopping"
        in " ".join(found.advice)
    )


@pytest.mark.measures
def test_single_stream_is_valid_from_the_number_that_early_stopping_needs() -> None:
    needed = queries_for_early_stopping(90)
    assert (needed, queries_for_early_stopping(99)) == (64, 662)
    assert not measured(Scenario.SINGLE_STREAM, needed - 1).valid
    found = measured(Scenario.SINGLE_STREAM, needed)
    assert found.valid
    assert found.unmet == ()
    assert found.early_stopping_latency_ns is not None
    assert found.rate_per_s is not None


@pytest.mark.measures
def test_server_is_invalid_where_the_bound_is_missed() -> None:
    held = measured(Scenario.SERVER, 662)
    missed = measured(Scenario.SERVER, 662, latency_bound_ms=0.001)
    assert held.valid
    assert held.scheduled_per_s == pytest.approx(20_000, rel=0.2)
    assert not missed.valid
    assert "performance constraints" in missed.unmet
    assert any("Reduce target QPS" in sentence for sentence in missed.advice)


def test_arrival_times_follow_the_seed() -> None:
    first, again, other = (
        measured(Scenario.SERVER, 100, schedule_seed=seed).scheduled_per_s for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_audit_file_in_the_working_directory_does_not_change_the_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "audit.config").write_text("*.SingleStream.min_query_count = 7\n*.*.mode = 1\n")
    monkeypatch.chdir(tmp_path)
    assert measured(Scenario.SINGLE_STREAM, 20).query_count == 20
    assert [path.name for path in tmp_path.iterdir()] == ["audit.config"]
