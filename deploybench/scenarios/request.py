"""A whole command of scenarios by one call: what is asked for, and measuring it.

Defaults are filled in, and what cannot be is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploybench.analysis.known_accuracy import Acceptance
from deploybench.artifacts.acceptance import check_drop
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import open_workspace
from deploybench.children.processes import allow_children, stop_children
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, recorded_distributions
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.hardware.host import describe_host
from deploybench.hardware.pinning import AUTO, Pin, check_pin, pinning_of, thread_budget
from deploybench.models.source import expand_groups
from deploybench.plan.acceptance import with_evidence
from deploybench.plan.cells import Planned, Selection, Sizes, plan_cells
from deploybench.plan.consent import check_planned, trusting_command
from deploybench.plan.selection import nothing_to_run, select_artifacts, select_runners
from deploybench.plurals import counted
from deploybench.results.store import new_run_name
from deploybench.results.verdict import Verdict
from deploybench.scenarios.events import (
    ScenarioEvent,
    ScenarioFinished,
    ScenariosPlanned,
    TestStarted,
)
from deploybench.scenarios.record import ScenarioRecord, scenarios_folder
from deploybench.scenarios.run import ScenarioContext, check_loadgen, run_scenario
from deploybench.scenarios.settings import (
    SCHEDULE_SEED,
    Scenario,
    ScenarioSettings,
    default_min_queries,
    queries_for_early_stopping,
)
from deploybench.telemetry.alone import alone_on_this_machine

DEFAULT_TARGET_QPS = 20.0
DEFAULT_LATENCY_BOUND_S = 0.05
DEFAULT_SAMPLES_PER_QUERY = 8
"""MLPerf's, for every model."""
SMALLEST_BOUND_S = 1e-6


@dataclass(frozen=True)
class ScenarioRequest:
    """What is to be measured under load.

    The defaults are those of ``deploybench scenario``; None is what was not asked for.
    """

    scenarios: Sequence[Scenario] = (Scenario.SINGLE_STREAM,)
    """Which of MLPerf's; see ``scenarios/settings.py``."""
    threads: int | None = None
    """The CPU threads of all instances together; None: the usable cores, or those of ``pin``."""
    pin: Pin = AUTO
    """The CPUs that the processes are kept on, as in ``RunRequest``."""
    duration_s: float = 10.0
    """Seconds of a test at least (MLPerf: 600)."""
    percentile: float | None = None
    """Of the latency, more than 0 and less than 100; None: MLPerf's, 90 in single-stream, else
    99."""
    min_queries: int | None = None
    """Queries of a test at least; None: what LoadGen's early stopping needs, 662 for p99."""
    target_qps: float | None = None
    """Server: mean arrivals per second; None: 20."""
    find_max_rate: bool = False
    """Server: find the highest rate that holds the latency bound."""
    latency_bound_s: float | None = None
    """Server: of a query at the percentile, in seconds; None: 0.05."""
    seed: int | None = None
    """Server: of the arrival times; None: MLPerf's."""
    samples_per_query: int | None = None
    """Multi-stream: images a query; None: 8."""
    instances: int | None = None
    """Server, offline: sessions that share the threads; None: 1."""
    batch: int | None = None
    """Multi-stream, offline: images a call, the last call padded; None: 1."""
    models: Sequence[str] = ()
    """Names of models or groups in the workspace; empty: all that are there."""
    artifacts: Sequence[Path] = ()
    """Artifact folders, instead of models."""
    image_sizes: Sequence[tuple[int, int]] = ()
    """(height, width) in pixels; empty: any."""
    patch_sizes: Sequence[int] = ()
    """Of transformers, in pixels; empty: any."""
    runners: Sequence[str] = ()
    """By name; empty: all that work on this CPU."""
    precisions: Sequence[str] = ()
    """To compute in; empty: each artifact's own."""
    max_accuracy_drop: float | None = None
    """Where a reduced precision fails parity: the drop of accuracy by which it is accepted, as in
    ``RunRequest``."""
    trust: bool = False
    """Whether the user answers for artifacts that were not made here, as in ``RunRequest``."""
    typed_with_trust: str | None = None
    """What a refusal for want of ``trust`` says to type, as in ``RunRequest``."""
    workspace: Path | None = None
    """The folder of artifacts and records; None: $DEPLOYBENCH_WORKSPACE, else
    ./deploybench-workspace."""

    @property
    def thread_budget(self) -> int:
        """The CPU threads that all instances together may use."""
        return thread_budget(self.threads, self.pin)

    def settings(self) -> list[ScenarioSettings]:
        """The settings of each scenario.

        Raises DeployBenchError for a value that no scenario here can use.
        """
        self._check_values()
        self._check_used()
        return [self._settings(scenario) for scenario in self.scenarios]

    def _settings(self, scenario: Scenario) -> ScenarioSettings:
        """The settings of one scenario: only what it uses is taken from the request."""
        percentile = self.percentile or scenario.default_percentile
        target_qps = None
        latency_bound_ms = None
        if scenario is Scenario.SERVER:
            latency_bound_ms = 1e3 * (self.latency_bound_s or DEFAULT_LATENCY_BOUND_S)
            if not self.find_max_rate:
                target_qps = self.target_qps or DEFAULT_TARGET_QPS
        samples_per_query = 1
        if scenario is Scenario.MULTI_STREAM:
            samples_per_query = self.samples_per_query or DEFAULT_SAMPLES_PER_QUERY
        instances = 1
        if scenario.concurrent:
            instances = self.instances or 1
        batch = 1
        if scenario.batched:
            batch = self.batch or 1
        schedule_seed = SCHEDULE_SEED
        if self.seed is not None:
            schedule_seed = self.seed
        return ScenarioSettings(
            scenario=scenario,
            percentile=percentile,
            min_duration_s=self.duration_s,
            min_queries=self.min_queries or default_min_queries(scenario, percentile),
            target_qps=target_qps,
            latency_bound_ms=latency_bound_ms,
            samples_per_query=samples_per_query,
            instances=instances,
            batch=batch,
            schedule_seed=schedule_seed,
        )

    def _check_values(self) -> None:
        check_pin(self.pin)
        check_drop(self.max_accuracy_drop)
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
        if (self.instances or 1) > self.thread_budget:
            raise DeployBenchError(
                f"--instances {self.instances} share {counted(self.thread_budget, 'thread')}",
                expected="a thread for each at least",
                action=f"--instances {self.thread_budget} or fewer, or more --threads",
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
        """Refuse an option that none of the scenarios uses: nobody would notice that it is lost."""
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
            if value is None or set(users) & set(self.scenarios):
                continue
            raise DeployBenchError(
                f"{option} with --scenario {_names_of(self.scenarios)}",
                expected=f"a scenario that uses it: {_names_of(users)}",
                action=f"leave {option} out, or add --scenario {users[0].value}",
            )


def _names_of(scenarios: Sequence[Scenario]) -> str:
    return ", ".join(scenario.value for scenario in scenarios)


@dataclass(frozen=True)
class ScenarioResult:
    """The records of every cell in every scenario, in the order in which they were measured.

    They also lie in ``folder``. ``interrupted`` commands have those that were finished.
    """

    folder: Path
    records: tuple[ScenarioRecord, ...]
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        """Whether any test broke, was wrong, or did not satisfy LoadGen."""
        bad = (Verdict.FAILED, Verdict.INVALID)
        return any(record.judgement.verdict in bad for record in self.records)


def run_scenarios(
    request: ScenarioRequest, on_event: Callable[[ScenarioEvent], None] | None = None
) -> ScenarioResult:
    """Measure artifacts under MLPerf's load scenarios with MLPerf's own LoadGen.

    ``on_event`` is told of the progress. An interrupt (KeyboardInterrupt) while tests run ends the
    command: its result says so and holds what was finished.

    Raises DeployBenchError where LoadGen is not installed, for a value that no scenario can use,
    where there is nothing to run, and for artifacts that hold code and were not made here, unless
    the request says ``trust``. A test that fails raises nothing: its record says why.
    """
    allow_children()
    tell = on_event or _ignore
    request.settings()
    pinning = pinning_of(request.pin, request.thread_budget)
    check_loadgen()
    entries = select_runners(request.runners)
    workspace = open_workspace(request.workspace)
    workspace.prepare()
    artifacts = select_artifacts(
        workspace,
        expand_groups(request.models),
        request.artifacts,
        Sizes(tuple(request.image_sizes), tuple(request.patch_sizes)),
        explained=False,
    )
    cells = plan_scenarios(artifacts, entries, request.precisions, request)
    if request.max_accuracy_drop is not None:
        cells = _with_evidence(cells, Acceptance(workspace, request.max_accuracy_drop))
    if not cells:
        selection = Selection(entries, [1], request.precisions, request.thread_budget)
        raise nothing_to_run(artifacts, selection)
    command = request.typed_with_trust
    if command is None:
        command = trusting_command("scenario", request.artifacts, workspace=request.workspace)
    check_planned([planned for planned, _ in cells], trust=request.trust, command=command)
    host = describe_host(recorded_distributions())
    context = ScenarioContext(new_run_name(), workspace, host, pinning, request.max_accuracy_drop)
    tell(ScenariosPlanned(len(cells), pinning))
    records: list[ScenarioRecord] = []
    interrupted = False
    try:
        with alone_on_this_machine(tell):
            for planned, settings in cells:
                record = _measure(planned, settings, context, tell)
                records.append(record)
                tell(ScenarioFinished(record))
    except KeyboardInterrupt:
        stop_children()
        interrupted = True
    folder = scenarios_folder(workspace) / context.run
    return ScenarioResult(folder, tuple(records), interrupted)


def _measure(
    planned: Planned,
    settings: ScenarioSettings,
    context: ScenarioContext,
    tell: Callable[[ScenarioEvent], None],
) -> ScenarioRecord:
    def start(what: str) -> None:
        tell(TestStarted(settings.scenario, planned.cell, what))

    return run_scenario(planned, settings, context, start=start)


def _with_evidence(
    cells: Sequence[tuple[Planned, ScenarioSettings]], known: Acceptance
) -> list[tuple[Planned, ScenarioSettings]]:
    planned = with_evidence([planned for planned, _ in cells], known, "scenario")
    settings = [settings for _, settings in cells]
    return list(zip(planned, settings, strict=True))


def _ignore(event: ScenarioEvent) -> None:
    return


def scenarios_named(names: Sequence[str]) -> list[Scenario]:
    """The scenarios of those names; single-stream without any. Refuses an unknown one."""
    if not names:
        return [Scenario.SINGLE_STREAM]
    by_name = {scenario.value: scenario for scenario in Scenario}
    for name in names:
        if name not in by_name:
            raise unknown_name("scenario", name, by_name)
    return [by_name[name] for name in names]


def plan_scenarios(
    artifacts: Sequence[Artifact],
    entries: Sequence[Entry[Runner]],
    precisions: Sequence[str],
    request: ScenarioRequest,
) -> list[tuple[Planned, ScenarioSettings]]:
    """Every cell with every scenario: model by model, within a model scenario by scenario."""
    cells: list[tuple[Planned, ScenarioSettings]] = []
    for settings in request.settings():
        selection = Selection(entries, [settings.batch], precisions, request.thread_budget)
        for planned in plan_cells(artifacts, selection, None):
            cells.append((planned, settings))
    groups = list(dict.fromkeys(planned.cell.group for planned, _ in cells))
    return sorted(cells, key=lambda cell: groups.index(cell[0].cell.group))
