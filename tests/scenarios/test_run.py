"""Scenarios on real runners, each in its own process: what is recorded, and what goes wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.artifact import Artifact, file_entry
from deploybench.artifacts.references import REFERENCE
from deploybench.artifacts.workspace import Workspace
from deploybench.children.inherited import can_pin
from deploybench.children.processes import ChildOutcome
from deploybench.contracts.registry import runner
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import describe_host
from deploybench.hardware.pinning import Pinning
from deploybench.plan.cells import Planned
from deploybench.results.verdict import Verdict
from deploybench.scenarios.record import ScenarioRecord, read_scenario, scenarios_folder
from deploybench.scenarios.request import ScenarioRequest, plan_scenarios
from deploybench.scenarios.run import ScenarioContext, check_loadgen, run_scenario
from deploybench.scenarios.search import RateSearch
from deploybench.scenarios.settings import Scenario, ScenarioJob, ScenarioSettings
from deploybench.scenarios.worker import trial
from tests.conftest import rewrite_manifest

can_be_pinned = pytest.mark.skipif(not can_pin(), reason="this system pins no processes")
Artifacts = Callable[[str], Artifact]
FORMAT_OF = {"onnxruntime": "onnx", "pytorch": "pytorch"}
SERVER = {"instances": 2, "target_qps": 60.0, "latency_bound_s": 5.0, "percentile": 90.0}


def cell_of(
    artifact: Artifact, runner_name: str, scenario: Scenario, **options: object
) -> tuple[Planned, ScenarioSettings]:
    request = ScenarioRequest((scenario,), threads=2, duration_s=0.05, **options)  # type: ignore[arg-type]
    ((planned, settings),) = plan_scenarios([artifact], [runner(runner_name)], [], request)
    return planned, settings


@pytest.fixture
def context(tmp_path: Path) -> ScenarioContext:
    return ScenarioContext("run", Workspace(tmp_path), describe_host())


def run(
    artifact: Artifact,
    runner_name: str,
    scenario: Scenario,
    context: ScenarioContext,
    **options: object,
) -> ScenarioRecord:
    return run_scenario(*cell_of(artifact, runner_name, scenario, **options), context)


@pytest.mark.measures
@pytest.mark.parametrize(
    ("name", "scenario", "options"),
    [
        ("onnxruntime", Scenario.SINGLE_STREAM, {}),
        (
            "onnxruntime",
            Scenario.MULTI_STREAM,
            {"samples_per_query": 3, "batch": 2, "percentile": 50.0},
        ),
        ("onnxruntime", Scenario.SERVER, SERVER),
        ("onnxruntime", Scenario.OFFLINE, {"batch": 3}),
        ("pytorch", Scenario.SERVER, SERVER),
    ],
)
def test_scenario_is_measured_after_parity_and_recorded_whole(
    name: str,
    scenario: Scenario,
    options: dict[str, object],
    tiny_artifact: Artifacts,
    context: ScenarioContext,
) -> None:
    record = run(tiny_artifact(FORMAT_OF[name]), name, scenario, context, **options)
    loadgen, parity, facts = record.trial.loadgen, record.trial.parity, record.trial.facts
    assert record.judgement.verdict is Verdict.VALID, record.judgement
    assert loadgen is not None
    assert loadgen.valid
    assert parity is not None
    assert parity.passed
    assert facts is not None
    assert (facts.threads, facts.precision) == (2 // record.settings.instances, "fp32")
    assert len(loadgen.latencies_ns) >= record.settings.min_queries
    assert record.versions["mlcommons-loadgen"]
    (path,) = scenarios_folder(context.workspace).glob("run/scenario-*.json")
    assert read_scenario(path) == record
    assert f"--scenario {scenario.value}" in record.command


def test_too_few_queries_are_invalid_with_loadgen_s_reason(
    tiny_artifact: Artifacts, context: ScenarioContext
) -> None:
    record = run(
        tiny_artifact("onnx"), "onnxruntime", Scenario.MULTI_STREAM, context, min_queries=4
    )
    assert record.judgement.verdict is Verdict.INVALID
    assert record.judgement.reason == "LoadGen: not satisfied: early stopping"
    assert "662 queries" in record.judgement.advice


@pytest.mark.measures
def test_highest_rate_holds_the_bound_and_is_between_what_passed_and_failed(
    tiny_artifact: Artifacts, context: ScenarioContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploybench.scenarios.run.RateSearch", partial(RateSearch, resolution=2))
    record = run(
        tiny_artifact("onnx"),
        "onnxruntime",
        Scenario.SERVER,
        context,
        find_max_rate=True,
        latency_bound_s=0.1,
        percentile=80.0,
        min_queries=100,
    )
    rate = record.settings.target_qps
    assert record.judgement.verdict is Verdict.VALID, record.judgement
    assert rate is not None
    assert [probe.passed for probe in record.probes if probe.target_qps == rate] == [True, True]
    assert all(probe.target_qps > rate for probe in record.probes if not probe.passed)
    assert record.trial.percentile_ms(0.8) == record.probes[-1].percentile_ms
    assert f"--target-qps {rate:g}" in record.command


def test_bound_below_one_inference_is_refused_to_be_searched(
    tiny_artifact: Artifacts, context: ScenarioContext
) -> None:
    record = run(
        tiny_artifact("onnx"),
        "onnxruntime",
        Scenario.SERVER,
        context,
        find_max_rate=True,
        latency_bound_s=1e-5,
    )
    assert record.judgement.verdict is Verdict.INVALID
    assert "no rate holds p99 <= 0.01 ms" in record.judgement.reason
    assert record.trial.loadgen is None
    assert "--find-max-rate" in record.command


def copied(artifact: Artifact, tmp_path: Path) -> Artifact:
    folder = tmp_path / "artifacts" / "tiny" / "copy"
    shutil.copytree(artifact.path, folder)
    return replace(artifact, path=folder)


def test_artifact_that_computes_something_else_is_not_timed(
    tiny_artifact: Artifacts, context: ScenarioContext, tmp_path: Path
) -> None:
    onnx = copied(tiny_artifact("onnx"), tmp_path)
    inputs, outputs = onnx.reference()
    np.savez(onnx.path / REFERENCE, inputs=inputs, outputs=outputs[::-1])
    changed = file_entry(onnx.path / REFERENCE, onnx.path)
    rewrite_manifest(
        onnx.path, files=tuple(changed if f.path == REFERENCE else f for f in onnx.manifest.files)
    )
    record = run(onnx, "onnxruntime", Scenario.SINGLE_STREAM, context)
    assert record.judgement.verdict is Verdict.INVALID
    assert record.judgement.reason.startswith("parity: ")
    assert record.trial.loadgen is None


def test_truncated_artifact_is_not_loaded(
    tiny_artifact: Artifacts, context: ScenarioContext, tmp_path: Path
) -> None:
    onnx = copied(tiny_artifact("onnx"), tmp_path)
    with onnx.entry.open("ab") as stream:
        stream.write(b"more")
    record = run(onnx, "onnxruntime", Scenario.SINGLE_STREAM, context)
    assert record.judgement.verdict is Verdict.INVALID
    assert "was changed or truncated" in record.judgement.reason


def test_crash_of_the_runtime_is_a_failed_row_with_its_signal(
    tiny_artifact: Artifacts,
    context: ScenarioContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "onnxruntime.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    record = run(tiny_artifact("onnx"), "onnxruntime", Scenario.OFFLINE, context)
    assert record.judgement.verdict is Verdict.FAILED
    assert "SIGSEGV" in record.judgement.reason
    assert record.trial.loadgen is None


def test_cell_that_cannot_run_here_is_skipped(
    tiny_artifact: Artifacts, context: ScenarioContext
) -> None:
    request = ScenarioRequest((Scenario.OFFLINE,), threads=2, duration_s=1)
    ((planned, settings),) = plan_scenarios(
        [tiny_artifact("onnx")], [runner("onnxruntime")], ["fp16"], request
    )
    record = run_scenario(planned, settings, context)
    assert record.judgement.verdict is Verdict.SKIPPED
    assert "fp16" in record.judgement.reason


def test_missing_loadgen_is_refused_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    check_loadgen()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DeployBenchError) as refusal:
        check_loadgen()
    assert refusal.value.action == 'pip install "deploybench[loadgen]"'


def test_test_is_pinned_and_its_command_repeats_the_cpus(
    tiny_artifact: Artifacts, context: ScenarioContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[ScenarioJob] = []

    def run_child(module: str, request: str, *, cpus: tuple[int, ...], **_: object) -> ChildOutcome:
        started.append(ScenarioJob.model_validate_json(request))
        assert cpus == started[-1].pin
        return ChildOutcome(None, "not started in this test", "")

    monkeypatch.setattr("deploybench.scenarios.run.run_child", run_child)
    pinned = replace(context, pinning=Pinning("2-3", (2, 3)))
    record = run(tiny_artifact("onnx"), "onnxruntime", Scenario.SINGLE_STREAM, pinned)
    assert started[0].pin == (2, 3)
    assert record.command.endswith("--pin 2-3")


@can_be_pinned
def test_trial_says_the_cpus_that_its_process_was_kept_on(
    tiny_artifact: Artifacts, context: ScenarioContext
) -> None:
    cpus = tuple(sorted(os.sched_getaffinity(0)))[-2:]
    pinned = replace(context, pinning=Pinning("named", cpus))
    record = run(tiny_artifact("onnx"), "onnxruntime", Scenario.OFFLINE, pinned)
    assert record.trial.pinned == cpus
    job = ScenarioJob(
        artifact=str(tiny_artifact("onnx").path),
        runner="onnxruntime",
        device="cpu",
        precision="fp32",
        threads=1,
        settings=record.settings,
        pin=(5000,),
    )
    assert "pinned to CPU 5000, and what worked may also run on" in (trial(job).refused or "")
