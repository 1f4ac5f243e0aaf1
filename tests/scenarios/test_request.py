"""Options become settings: MLPerf's defaults by scenario, and refusals that say what would be
accepted."""

from __future__ import annotations

import pytest

from deploybench.errors import DeployBenchError
from deploybench.scenarios.request import ScenarioRequest, scenarios_named
from deploybench.scenarios.settings import Scenario

EVERY = tuple(Scenario)


def request(scenarios: tuple[Scenario, ...], **options: object) -> ScenarioRequest:
    return ScenarioRequest(scenarios=scenarios, threads=4, duration_s=1, **options)  # type: ignore[arg-type]


def test_defaults_are_mlperf_s_by_scenario() -> None:
    single, multi, server, offline = request(EVERY).settings()
    assert (single.percentile, single.min_queries) == (90, 64)
    assert (multi.percentile, multi.min_queries, multi.samples_per_query) == (99, 662, 8)
    assert (server.target_qps, server.latency_bound_ms, server.min_queries) == (20, 50, 662)
    assert (offline.min_queries, offline.batch) == (1, 1)


def test_option_reaches_only_the_scenarios_that_use_it() -> None:
    single, multi, server, offline = request(EVERY, batch=8, instances=2, seed=7).settings()
    assert [one.batch for one in (single, multi, server, offline)] == [1, 8, 1, 8]
    assert [one.instances for one in (single, multi, server, offline)] == [1, 1, 2, 2]
    assert server.schedule_seed == 7


def test_fraction_is_the_number_that_loadgen_has() -> None:
    fractions = [
        request((Scenario.SERVER,), percentile=p).settings()[0].fraction for p in (50, 97, 99, 99.9)
    ]
    assert fractions == [0.5, 0.97, 0.99, 0.999]


@pytest.mark.parametrize(
    ("scenarios", "options", "words"),
    [
        (
            (Scenario.SINGLE_STREAM,),
            {"target_qps": 5.0},
            ["--target-qps with --scenario single-stream", "server"],
        ),
        (
            (Scenario.SERVER,),
            {"batch": 8},
            ["--batch with --scenario server", "multi-stream, offline"],
        ),
        ((Scenario.SINGLE_STREAM,), {"instances": 2}, ["--instances", "server, offline"]),
        ((Scenario.OFFLINE,), {"samples_per_query": 2}, ["--samples-per-query", "multi-stream"]),
        ((Scenario.SERVER,), {"percentile": 100.0}, ["--percentile 100", "less than 100"]),
        ((Scenario.SERVER,), {"target_qps": -1.0}, ["--target-qps -1", "more than 0"]),
        ((Scenario.SERVER,), {"target_qps": float("nan")}, ["--target-qps nan"]),
        (
            (Scenario.SERVER,),
            {"instances": 5},
            ["--instances 5 share 4 threads", "--instances 4 or fewer"],
        ),
        ((Scenario.SERVER,), {"target_qps": 5.0, "find_max_rate": True}, ["one of the two"]),
        (
            (Scenario.SERVER,),
            {"find_max_rate": True, "min_queries": 100},
            ["at least 662", "leave --min-queries out"],
        ),
    ],
)
def test_value_that_cannot_be_used_is_refused(
    scenarios: tuple[Scenario, ...], options: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        request(scenarios, **options).settings()
    assert [word for word in words if word not in str(refusal.value)] == []


def test_unknown_scenario_is_refused_with_the_nearest() -> None:
    assert scenarios_named(["offline", "server"]) == [Scenario.OFFLINE, Scenario.SERVER]
    with pytest.raises(DeployBenchError, match="did you mean single-stream"):
        scenarios_named(["singlestream"])
