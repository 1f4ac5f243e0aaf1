"""The same contract for every registered backend: what it exports runs, verified, without what it
must not need."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.mark import ParameterSet

from deploybench.artifacts.artifact import Artifact, Manifest, file_entry
from deploybench.artifacts.workspace import Workspace
from deploybench.children.processes import ChildOutcome, run_child
from deploybench.contracts import RunOptions
from deploybench.contracts.registry import exporters, runners
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.gpus import targets_here
from deploybench.measure.concurrent import run_streams
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.measure.stopping import WindowRule
from deploybench.results.launch import Launch
from tests.conftest import TINY, rewrite_manifest

Artifacts = Callable[[str], Artifact]


def runner_formats(*left_out: str) -> list[ParameterSet]:
    """Every runner with its formats.

    One that this host cannot use, or not on the CPU, is skipped with the reason.
    """
    found = []
    for name, entry in runners().items():
        assert entry.plugin is not None, entry.problem
        problem = entry.problem or entry.plugin.check_device("cpu")
        unusable = pytest.mark.skipif(problem is not None, reason=f"{name}: {problem}")
        found += [
            pytest.param(name, form, marks=unusable)
            for form in sorted(entry.plugin.formats)
            if name not in left_out
        ]
    return found


RUNNER_FORMATS = runner_formats()
QUICK_TO_LOAD = runner_formats("inductor")  # which compiles for half a minute
FOR_ONE_GPU = [
    name for name, entry in exporters().items() if entry.plugin and entry.plugin.takes_target
]
"""Formats whose files run on a GPU only; every other one is written and run in these tests."""
PORTABLE = [name for name in exporters() if name not in FOR_ONE_GPU]
AHEAD_OF_TIME = {"tensorrt-rtx": "sm86"}
TORCH_FREE = ["onnxruntime", "openvino"]


def job(artifact: Artifact | Path, runner: str, **changes: object) -> Job:
    path = artifact.path if isinstance(artifact, Artifact) else artifact
    quick = Job(
        artifact=str(path),
        runner=runner,
        device="cpu",
        precision="fp32",
        batch=1,
        threads=1,
        duration_s=0.05,
        min_samples=5,
        probes=False,
    )
    return quick.model_copy(update=changes)


@pytest.fixture(scope="module")
def any_artifact(tiny_artifact: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The tiny model's artifact by backend; one for a GPU is built when it is asked for."""
    place = Workspace(tmp_path_factory.mktemp("targeted"))
    place.prepare()

    @cache
    def find(backend: str) -> Artifact:
        if backend in PORTABLE:
            return tiny_artifact(backend)
        entry = exporters()[backend]
        if not entry.usable:
            pytest.skip(f"{backend}: {entry.problem}")
        request = ExportRequest(
            model=ModelRequest(name=TINY), backend=backend, target=AHEAD_OF_TIME.get(backend)
        )
        result = export_one(request, place, ExportOptions())
        assert result.artifact is not None, result.error
        return result.artifact

    return find


@pytest.mark.parametrize("backend", list(exporters()))
def test_artifact_is_whole_verified_and_says_what_it_is(
    backend: str, any_artifact: Artifacts
) -> None:
    manifest = any_artifact(backend).manifest
    any_artifact(backend).check_files()
    if manifest.request["target"] in (None, *targets_here()[:1]):
        assert manifest.verified
        assert manifest.parity is not None
        assert manifest.parity.max_error is not None
        assert manifest.parity.max_error < 1e-4
    else:
        assert (manifest.verified, manifest.parity_runner) == (False, None)
        assert "not run here" in manifest.parity_note
        assert "agrees" in manifest.parity_note
    assert manifest.weights.label == "random weights"
    assert manifest.inputs[0].shape == ("batch", 3, 160, 160)
    assert manifest.model.macs is not None
    assert manifest.model.flops == 2 * manifest.model.macs
    assert manifest.versions["torch"]
    assert manifest.size_bytes > 300_000
    assert manifest.entry in [file.path for file in manifest.files]


def test_every_backend_exported_the_same_weights(any_artifact: Artifacts) -> None:
    written = [name for name in exporters() if name in PORTABLE or exporters()[name].usable]
    hashes = {any_artifact(backend).manifest.weights.sha256 for backend in written}
    references = [any_artifact(backend).reference()[1] for backend in written]
    assert len(hashes) == 1
    assert all(np.array_equal(references[0], other) for other in references)


@pytest.mark.parametrize(("runner", "form"), RUNNER_FORMATS)
@pytest.mark.parametrize("batch", [1, 3])
def test_runner_measures_its_format_with_the_budget_that_it_was_given(
    runner: str, form: str, batch: int, tiny_artifact: Artifacts
) -> None:
    launch = run_job(job(tiny_artifact(form), runner, batch=batch))
    assert launch.error is None
    assert launch.refused is None
    assert launch.facts is not None
    assert (launch.facts.precision, launch.facts.threads, launch.facts.device) == ("fp32", 1, "cpu")
    assert launch.parity is not None
    assert launch.parity.passed
    assert launch.parity.images >= 4
    assert launch.parity.images % batch == 0
    assert len(launch.samples_ns) >= 5
    assert launch.memory is not None
    assert launch.memory.baseline_bytes < launch.memory.loaded_bytes <= launch.memory.peak_bytes


@pytest.mark.parametrize("runner", TORCH_FREE)
def test_worker_needs_no_torch_when_the_runtime_needs_none(
    runner: str, tiny_artifact: Artifacts, tmp_path: Path
) -> None:
    for module in ("torch", "torchvision", "timm", "onnx"):
        (tmp_path / f"{module}.py").write_text(f"raise ImportError('{module} was imported')")
    form = {"onnxruntime": "onnx"}.get(runner, runner)
    search_path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    outcome = run_child(
        "deploybench.measure.worker",
        job(tiny_artifact(form), runner).model_dump_json(),
        time_limit_s=120,
        environment={"PYTHONPATH": search_path},
    )
    assert outcome.reply is not None, outcome.log
    assert Launch.model_validate_json(outcome.reply).measured
    blocked = run_child(
        "deploybench.measure.worker",
        job(tiny_artifact("torchscript"), "torchscript").model_dump_json(),
        time_limit_s=120,
        environment={"PYTHONPATH": search_path},
    )
    assert blocked.reply is not None
    assert "torch was imported" in str(Launch.model_validate_json(blocked.reply))


@pytest.mark.parametrize(("runner", "form"), QUICK_TO_LOAD)
def test_session_refuses_inputs_of_another_shape_or_type(
    runner: str, form: str, tiny_artifact: Artifacts
) -> None:
    artifact = tiny_artifact(form)
    options = RunOptions(device="cpu", threads=1, precision="fp32", batch=1)
    with runners()[runner].require().load(artifact, options) as session:
        with pytest.raises(ValueError, match=r"\(2, 3, 160, 160\)"):
            session.infer({"input": np.zeros((2, 3, 160, 160), np.float32)})
        with pytest.raises(ValueError, match="float64"):
            session.infer({"input": np.zeros((1, 3, 160, 160))})  # type: ignore[dict-item]
        assert session.infer({"input": np.zeros((1, 3, 160, 160), np.float32)})["logits"].shape == (
            1,
            1000,
        )


@pytest.mark.parametrize(("runner", "form"), RUNNER_FORMATS)
def test_bound_calls_give_the_outputs_of_infer_on_the_inputs_that_were_bound(
    runner: str, form: str, tiny_artifact: Artifacts
) -> None:
    artifact, plugin = tiny_artifact(form), runners()[runner].require()
    images = artifact.reference()[0]
    scattered = {
        "input": images.transpose(1, 2, 3, 0).copy().transpose(3, 0, 1, 2)[1:2]
    }  # a view with gaps
    whole = {"input": np.ascontiguousarray(images[:1])}
    with plugin.load(
        artifact, RunOptions(device="cpu", threads=1, precision="fp32", batch=1)
    ) as session:
        if not plugin.engine_only:
            with pytest.raises(NotImplementedError):
                session.bind(whole)
            return
        bounds = [session.bind(inputs) for inputs in (whole, scattered)]
        expected = [np.array(session.infer(inputs)["logits"]) for inputs in (whole, scattered)]
        for bound in (*bounds, *bounds):
            bound.run()
        first, second = (bound.outputs()["logits"] for bound in bounds)
    assert np.allclose(first, expected[0], atol=1e-5)
    assert np.allclose(second, expected[1], atol=1e-5)
    assert not np.allclose(first, second, atol=1e-3)


@pytest.mark.parametrize(("runner", "form"), RUNNER_FORMATS)
def test_streams_run_at_once_and_each_has_its_share_of_the_threads(
    runner: str, form: str, tiny_artifact: Artifacts
) -> None:
    artifact, plugin = tiny_artifact(form), runners()[runner].require()
    images, expected = artifact.reference()
    options = RunOptions(device="cpu", threads=2, precision="fp32", batch=1, streams=2)
    found: list[list[np.ndarray[Any, Any]]] = [[], []]
    facts = {}
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(session) for session in plugin.load_streams(artifact, options)
        ]
        for session in sessions:
            session.compile()

        def call(number: int) -> None:
            outputs = sessions[number].infer(
                {"input": np.ascontiguousarray(images[number : number + 1])}
            )
            found[number].append(np.array(outputs["logits"][0]))
            facts[number] = sessions[number].facts()

        calls = [partial(call, number) for number in range(2)]
        window = run_streams(
            calls, [session.prepare_thread for session in sessions], WindowRule(20, 0, 60 * 10**9)
        )
    assert len(window.samples_ns) == sum(map(len, found))
    assert [facts[number].threads for number in range(2)] == [1, 1]
    for number in range(2):
        assert all(np.allclose(output, expected[number], atol=1e-4) for output in found[number])
    assert not np.allclose(found[0][0], found[1][0], atol=1e-3)


def test_a_weight_changed_by_5_percent_in_an_artifact_fails_parity_and_gets_no_speed(
    tiny_artifact: Artifacts, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "edited"
    shutil.copytree(tiny_artifact("pytorch").path, folder)
    weights = folder / "weights.safetensors"
    tensors = load_file(weights)
    name = "model.blocks.1.mlp.fc1.weight"
    save_file({**tensors, name: tensors[name] * np.float32(1.05)}, weights)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    files = [
        file_entry(weights, folder) if file.path == weights.name else file
        for file in manifest.files
    ]
    rewrite_manifest(folder, files=tuple(files))
    launch = run_job(job(folder, "pytorch"))
    assert launch.parity is not None
    assert not launch.parity.passed
    assert "of the spread" in launch.parity.reason
    assert not launch.measured


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_damaged_artifact_is_refused_by_the_name_of_the_file(
    damage: str, tiny_artifact: Artifacts, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_artifact("onnx").path, folder)
    victim = folder / "model.onnx"
    content = bytearray(victim.read_bytes())
    if damage == "remove":
        victim.unlink()
    elif damage == "truncate":
        victim.write_bytes(content[: len(content) // 2])
    else:
        content[1000] ^= 1
        victim.write_bytes(content)
    launch = run_job(job(folder, "onnxruntime"))
    assert launch.refused is not None
    assert "model.onnx" in launch.refused
    assert "--force" in launch.refused
    assert not launch.measured


def test_silent_fallback_is_refused_when_another_precision_ran(
    tiny_artifact: Artifacts, tmp_path: Path
) -> None:
    folder = tmp_path / "half"
    shutil.copytree(tiny_artifact("onnx").path, folder)
    rewrite_manifest(folder, precision="fp16")
    launch = run_job(job(folder, "onnxruntime", precision="fp16"))
    assert launch.refused == "asked for precision fp16, CPUExecutionProvider runs fp32"
    assert not launch.measured


def run_with_runtime(
    code: str, artifact: Artifact, folder: Path, *, time_limit_s: float
) -> ChildOutcome:
    """A worker whose onnxruntime is the module ``code``."""
    (folder / "onnxruntime.py").write_text(code)
    request = job(artifact, "onnxruntime").model_dump_json()
    environment = {"PYTHONPATH": str(folder)}
    return run_child(
        "deploybench.measure.worker", request, time_limit_s=time_limit_s, environment=environment
    )


def test_crash_of_the_runtime_is_a_launch_with_its_signal(
    tiny_artifact: Artifacts, tmp_path: Path
) -> None:
    code = "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)"
    outcome = run_with_runtime(code, tiny_artifact("onnx"), tmp_path, time_limit_s=60)
    assert outcome.reply is None
    assert "SIGSEGV" in str(outcome.error)


def test_hang_of_the_runtime_ends_at_the_time_limit(
    tiny_artifact: Artifacts, tmp_path: Path
) -> None:
    outcome = run_with_runtime(
        "import time\ntime.sleep(600)", tiny_artifact("onnx"), tmp_path, time_limit_s=4
    )
    assert outcome.error == "stopped after the time limit of 4 s"
