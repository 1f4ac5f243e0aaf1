"""The parent's side: every test in a fresh process.

The search for the highest rate is one test after another.
"""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from deploybench.analysis.scenario_verdicts import (
    judge_no_rate_found,
    judge_scenario,
    judge_too_slow_alone,
)
from deploybench.artifacts.acceptance import acceptance_arguments
from deploybench.artifacts.workspace import Workspace
from deploybench.children.processes import run_child
from deploybench.contracts.registry import runners
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import Host
from deploybench.hardware.pinning import UNPINNED, Pinning
from deploybench.plan.cells import Planned
from deploybench.results.verdict import Judgement, Verdict
from deploybench.scenarios.record import (
    Probe,
    ScenarioRecord,
    Trial,
    scenarios_folder,
    write_scenario,
)
from deploybench.scenarios.search import RateSearch
from deploybench.scenarios.settings import (
    Scenario,
    ScenarioJob,
    ScenarioSettings,
    default_min_queries,
)
from deploybench.versions import installed_versions

WORKER = "deploybench.scenarios.worker"
DISTRIBUTION = "mlcommons-loadgen"
LOADING_LIMIT_S = 900.0
"""Loading may compile."""
ALONE_DURATION_S = 1.0
FIRST_UTILISATION = 0.5
"""Where the search starts, as a share of what all instances could answer without a pause."""


@dataclass(frozen=True)
class ScenarioContext:
    """Where the records of one command go, the machine, and on which CPUs of it tests run.

    ``max_accuracy_drop`` is the drop by which a reduced precision is accepted that fails parity.
    """

    run: str
    workspace: Workspace
    host: Host
    pinning: Pinning = UNPINNED
    max_accuracy_drop: float | None = None


def check_loadgen() -> None:
    """Raise DeployBenchError where LoadGen is not installed."""
    if importlib.util.find_spec("mlperf_loadgen") is None:
        raise DeployBenchError(
            "MLPerf's LoadGen is not installed",
            expected="the module mlperf_loadgen",
            action='pip install "deploybench[loadgen]"',
        )


def run_scenario(
    planned: Planned,
    settings: ScenarioSettings,
    context: ScenarioContext,
    *,
    start: Callable[[str], None] = lambda what: None,
) -> ScenarioRecord:
    """One test, or the search for the highest rate where a server has no rate.

    A cell that cannot run here is a record that says so. ``start`` is told what is measured next.
    """
    if planned.skip is not None:
        judgement = Judgement(verdict=Verdict.SKIPPED, reason=planned.skip, advice=planned.remedy)
        return _keep(planned, settings, Trial(), (), judgement, context)
    if settings.searches:
        return _find_highest_rate(planned, settings, context, start)
    start("")
    trial = _try(planned, settings, context.pinning)
    judgement = judge_scenario(trial, command_of(planned, settings, context))
    return _keep(planned, settings, trial, (), judgement, context)


def _find_highest_rate(
    planned: Planned,
    settings: ScenarioSettings,
    context: ScenarioContext,
    start: Callable[[str], None],
) -> ScenarioRecord:
    """The highest rate of arrivals for which LoadGen says VALID, twice.

    Each rate is tried with other arrival times (the next seed). The record's trial is the
    confirming one, or the last one where no rate was found.
    """
    start("alone")
    alone = _try(planned, _alone(settings), context.pinning)
    if alone.loadgen is None:
        judgement = judge_scenario(alone, command_of(planned, settings, context))
        return _keep(planned, settings, alone, (), judgement, context)
    assert settings.latency_bound_ms is not None
    fastest_ms = min(alone.loadgen.latencies_ns) / 1e6
    if fastest_ms > settings.latency_bound_ms:
        judgement = judge_too_slow_alone(_bound(settings), alone.loadgen.query_count, fastest_ms)
        return _keep(planned, settings, alone.replaced(loadgen=None), (), judgement, context)
    alone_ms = alone.percentile_ms(0.5)
    assert alone_ms is not None
    most_per_s = settings.instances * 1e3 / alone_ms
    search = RateSearch(FIRST_UTILISATION * most_per_s)
    return _search(planned, settings, context, search, start)


def _search(
    planned: Planned,
    settings: ScenarioSettings,
    context: ScenarioContext,
    search: RateSearch,
    start: Callable[[str], None],
) -> ScenarioRecord:
    """Try the rates that the search names until it has its answer, or a trial breaks."""
    probes: list[Probe] = []
    tried, trial = settings, Trial()
    while (rate := search.next_rate()) is not None:
        start(f"{rate:g}/s")
        seed = settings.schedule_seed + search.trials
        tried = settings.replaced(target_qps=rate, schedule_seed=seed)
        trial = _try(planned, tried, context.pinning)
        if trial.loadgen is None:
            judgement = judge_scenario(trial, command_of(planned, tried, context))
            return _keep(planned, tried, trial, probes, judgement, context)
        probes.append(_probe(tried, trial))
        search.tell(rate, passed=trial.loadgen.valid)
    judgement = judge_scenario(trial, command_of(planned, tried, context))
    if search.found_per_s is None:
        rates = [probe.target_qps for probe in probes]
        judgement = judge_no_rate_found(_bound(settings), rates, judgement.advice)
    return _keep(planned, tried, trial, probes, judgement, context)


def command_of(planned: Planned, settings: ScenarioSettings, context: ScenarioContext) -> str:
    """The one command that measures this again."""
    cell, scenario = planned.cell, settings.scenario
    arguments = ["--artifact", str(planned.artifact.path)]
    arguments += ["--runner", cell.runner]
    arguments += ["--scenario", scenario.value]
    arguments += ["--threads", str(cell.threads)]
    arguments += ["--precision", cell.precision]
    arguments += ["--duration", f"{settings.min_duration_s:g}s"]
    arguments += ["--min-queries", str(settings.min_queries)]
    arguments += ["--percentile", f"{settings.percentile:g}"]
    if scenario is Scenario.SERVER:
        if settings.searches:
            arguments.append("--find-max-rate")
        else:
            arguments += ["--target-qps", f"{settings.target_qps:g}"]
        arguments += ["--latency-bound", f"{settings.latency_bound_ms:g}ms"]
        arguments += ["--seed", str(settings.schedule_seed)]
    if scenario is Scenario.MULTI_STREAM:
        arguments += ["--samples-per-query", str(settings.samples_per_query)]
    if scenario.concurrent:
        arguments += ["--instances", str(settings.instances)]
    if scenario.batched:
        arguments += ["--batch", str(settings.batch)]
    arguments += context.pinning.arguments
    arguments += acceptance_arguments(context.max_accuracy_drop)
    return shlex.join(["deploybench", "scenario", *arguments])


def _try(planned: Planned, settings: ScenarioSettings, pinning: Pinning) -> Trial:
    """One test in a fresh process; a crash or a hang is a trial with its cause."""
    cell = planned.cell
    job = ScenarioJob(
        artifact=str(planned.artifact.path),
        runner=cell.runner,
        device=cell.device,
        precision=cell.precision,
        threads=cell.threads,
        settings=settings,
        pin=pinning.cpus_for(cell.device),
        evidence=planned.evidence,
    )
    threads = str(job.threads_each)
    environment = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    limit_s = LOADING_LIMIT_S + 2 * settings.max_duration_s
    request = job.model_dump_json()
    outcome = run_child(
        WORKER, request, time_limit_s=limit_s, environment=environment, cpus=job.pin
    )
    if outcome.reply is None:
        return Trial(error=outcome.error or "the worker said nothing")
    return Trial.model_validate_json(outcome.reply)


def _alone(settings: ScenarioSettings) -> ScenarioSettings:
    """One instance with one query at a time: how fast the answer can be."""
    scenario = Scenario.SINGLE_STREAM
    queries = default_min_queries(scenario, scenario.default_percentile)
    return settings.replaced(
        scenario=scenario,
        percentile=scenario.default_percentile,
        min_duration_s=ALONE_DURATION_S,
        min_queries=queries,
        target_qps=None,
    )


def _probe(settings: ScenarioSettings, trial: Trial) -> Probe:
    assert trial.loadgen is not None
    assert settings.target_qps is not None
    return Probe(
        target_qps=settings.target_qps,
        passed=trial.loadgen.valid,
        unmet=trial.loadgen.unmet,
        percentile_ms=trial.percentile_ms(settings.fraction),
        query_count=trial.loadgen.query_count,
    )


def _bound(settings: ScenarioSettings) -> str:
    return f"p{settings.percentile:g} <= {settings.latency_bound_ms:g} ms"


def _keep(
    planned: Planned,
    settings: ScenarioSettings,
    trial: Trial,
    probes: list[Probe] | tuple[Probe, ...],
    judgement: Judgement,
    context: ScenarioContext,
) -> ScenarioRecord:
    """Build the record, write it into the command's folder and hand it back."""
    distributions = [DISTRIBUTION]
    plugin = runners()[planned.cell.runner].plugin
    if plugin is not None:
        distributions += plugin.distributions
    record = ScenarioRecord(
        run=context.run,
        created=now(),
        cell=planned.cell,
        settings=settings,
        trial=trial,
        probes=tuple(probes),
        judgement=judgement,
        host=context.host,
        versions=installed_versions(tuple(distributions)),
        command=command_of(planned, settings, context),
    )
    write_scenario(record, scenarios_folder(context.workspace) / context.run)
    return record
