"""What the user asked for, as settings: defaults are filled in, and what cannot be is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.plan.cells import Planned, Selection, plan_cells
from deploybench.scenarios.settings import (
    Scenario,
    ScenarioSettings,
    default_min_queries,
    queries_for_early_stopping,
)

DEFAULT_TARGET_QPS = 20.0
DEFAULT_LATENCY_BOUND_S = 0.05
DEFAULT_SAMPLES_PER_QUERY = 8
"""MLPerf's, for every model."""
SMALLEST_BOUND_S = 1e-6


@dataclass(frozen=True)
class ScenarioRequest:
    """The options of one command; None is what was not given."""

    scenarios: Sequence[Scenario]
    threads: int
    duration_s: float
    percentile: float | None = None
    min_queries: int | None = None
    target_qps: float | None = None
    find_max_rate: bool = False
    latency_bound_s: float | None = None
    seed: int | None = None
    samples_per_query: int | None = None
    instances: int | None = None
    batch: int | None = None

    def settings(self) -> list[ScenarioSettings]:
        """The settings of each scenario.

        Raises DeployBenchError for a value that no scenario here can use.
        """
        self._check_values()
        self._check_used()
        return [self._settings(scenario) for scenario in self.scenarios]

    def _settings(self, scenario: Scenario) -> ScenarioSettings:
        server = scenario is Scenario.SERVER
        percentile = self.percentile or scenario.default_percentile
        settings = ScenarioSettings(
            scenario=scenario,
            percentile=percentile,
            min_duration_s=self.duration_s,
            min_queries=self.min_queries or default_min_queries(scenario, percentile),
            target_qps=None
            if self.find_max_rate or not server
            else self.target_qps or DEFAULT_TARGET_QPS,
            latency_bound_ms=1e3 * (self.latency_bound_s or DEFAULT_LATENCY_BOUND_S)
            if server
            else None,
            samples_per_query=(self.samples_per_query or DEFAULT_SAMPLES_PER_QUERY)
            if scenario is Scenario.MULTI_STREAM
            else 1,
            instances=(self.instances or 1) if scenario.concurrent else 1,
            batch=(self.batch or 1) if scenario.batched else 1,
        )
        return (
            settings
            if self.seed is None
            else settings.model_copy(update={"schedule_seed": self.seed})
        )

    def _check_values(self) -> None:
        if self.percentile is not None and not 0 < self.percentile < 100:
            raise DeployBenchError(
                f"--percentile {self.percentile:g}", expected="more than 0 and less than 100"
            )
        if self.target_qps is not None and not 0 < self.target_qps < float("inf"):
            raise DeployBenchError(
                f"--target-qps {self.target_qps:g}", expected="queries per second, more than 0"
            )
        if self.latency_bound_s is not None and self.latency_bound_s < SMALLEST_BOUND_S:
            raise DeployBenchError(
                f"--latency-bound of {self.latency_bound_s:g} s", expected="at least a microsecond"
            )
        if self.find_max_rate and self.target_qps is not None:
            raise DeployBenchError(
                f"--find-max-rate with --target-qps {self.target_qps:g}",
                expected="one of the two",
                action="leave --target-qps out: the search starts from what one instance can "
                "answer",
            )
        if (self.instances or 1) > self.threads:
            raise DeployBenchError(
                f"--instances {self.instances} share {self.threads} threads",
                expected="a thread for each at least",
                action=f"--instances {self.threads} or fewer, or more --threads",
            )
        if self.find_max_rate and self.min_queries is not None:
            needed = queries_for_early_stopping(
                self.percentile or Scenario.SERVER.default_percentile
            )
            if self.min_queries < needed:
                raise DeployBenchError(
                    f"--find-max-rate with --min-queries {self.min_queries}",
                    expected=f"at least {needed}: with fewer LoadGen calls every rate INVALID "
                    f"(early stopping)",
                    action="leave --min-queries out",
                )

    def _check_used(self) -> None:
        server = (Scenario.SERVER,)
        concurrent = tuple(scenario for scenario in Scenario if scenario.concurrent)
        batched = tuple(scenario for scenario in Scenario if scenario.batched)
        for option, value, users in (
            ("--target-qps", self.target_qps, server),
            ("--find-max-rate", self.find_max_rate or None, server),
            ("--latency-bound", self.latency_bound_s, server),
            ("--seed", self.seed, server),
            ("--samples-per-query", self.samples_per_query, (Scenario.MULTI_STREAM,)),
            ("--instances", self.instances, concurrent),
            ("--batch", self.batch, batched),
        ):
            if value is not None and not set(users) & set(self.scenarios):
                asked, using = (
                    ", ".join(scenario.value for scenario in names)
                    for names in (self.scenarios, users)
                )
                raise DeployBenchError(
                    f"{option} with --scenario {asked}",
                    expected=f"a scenario that uses it: {using}",
                    action=f"leave {option} out, or add --scenario {users[0].value}",
                )


def scenarios_named(names: Sequence[str]) -> list[Scenario]:
    """The scenarios of those names; single-stream without any. Refuses an unknown one."""
    known = {scenario.value: scenario for scenario in Scenario}
    for name in names:
        if name not in known:
            raise unknown_name("scenario", name, known)
    return [known[name] for name in names] or [Scenario.SINGLE_STREAM]


def plan_scenarios(
    artifacts: Sequence[Artifact],
    entries: Sequence[Entry[Runner]],
    precisions: Sequence[str],
    request: ScenarioRequest,
) -> list[tuple[Planned, ScenarioSettings]]:
    """Every cell with every scenario: model by model, within a model scenario by scenario."""
    cells = [
        (planned, settings)
        for settings in request.settings()
        for planned in plan_cells(
            artifacts, Selection(entries, [settings.batch], precisions, request.threads), None
        )
    ]
    groups = list(dict.fromkeys(planned.cell.group for planned, _ in cells))
    return sorted(cells, key=lambda cell: groups.index(cell[0].cell.group))
