"""The TensorRT runners on real class definitions (tensorrt_lean) and a double of CUDA with known
kernel times."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Runner, RunOptions, Session
from deploybench.errors import DeployBenchError, DeviceError
from deploybench.measure import loop, timed
from deploybench.measure.calls import engine_only, host_to_host
from deploybench.measure.job import Job
from deploybench.measure.timed import time_calls
from deploybench.processes import run_child
from deploybench.results.launch import Launch
from deploybench.results.verdict import Verdict
from deploybench.runners import tensorrt_engine
from deploybench.runners.cuda_runtime import Cuda
from deploybench.runners.tensorrt import TensorRTRunner
from deploybench.runners.tensorrt_rtx import TensorRTRtxRunner
from deploybench.telemetry.energy import Unavailable
from tests.runners.cudart_double import (
    DOWNLOAD_BYTES_PER_NS,
    PLAN,
    UPLOAD_BYTES_PER_NS,
    Double,
    build_double,
    made_up_engine,
    made_up_runtime,
    made_up_tensorrt,
    strict,
)
from tests.runners.engine_artifacts import engine_artifact

MS = 1_000_000
SIDE = 224
IMAGE_BYTES = 3 * SIDE * SIDE * 4
PER_CENT = 0.01


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_double(tmp_path_factory.mktemp("double"))


@pytest.fixture
def double(library: Path, monkeypatch: pytest.MonkeyPatch) -> Double:
    """The machine's CUDA, and its clock that of the timed loop."""
    made = Double(ctypes.CDLL(str(library)))
    made.launches_cost(0)
    monkeypatch.setattr(tensorrt_engine, "open_cuda", lambda: Cuda(made.library))
    monkeypatch.setattr(loop, "perf_counter_ns", made.now)
    monkeypatch.setattr(timed, "open_meter", lambda device: Unavailable("no meter in this test"))
    return made


@pytest.fixture
def load(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Session]:
    """Loads an engine of kernels of so many ns each."""

    def made(
        kernels_ns: list[int],
        *,
        side: int = SIDE,
        batch: int = 1,
        graph: bool = False,
        facts: Any = None,
        **more: Any,
    ) -> Session:
        use(made_up_tensorrt(double, kernels_ns, **more), monkeypatch)
        artifact = engine_artifact(tmp_path / "engine", side=side, **(facts or {}))
        return TensorRTRunner().load(artifact, options(batch=batch, cuda_graph=graph))

    return made


def use(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, runner: type[Runner] = TensorRTRunner
) -> None:
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(runner, "requires", (module.__name__,))


def options(**changes: Any) -> RunOptions:
    return RunOptions(
        **{"device": "cuda", "threads": 2, "precision": "fp32", "batch": 1, **changes}
    )


def images(batch: int = 1, side: int = SIDE, seed: int = 1) -> dict[str, np.ndarray[Any, Any]]:
    return {
        "input": np.random.default_rng(seed).standard_normal(
            (batch, 3, side, side), dtype=np.float32
        )
    }


def launched(session: Session, call: Any) -> Launch:
    """A launch of a hundred calls by our own loop, on the double's clock."""
    job = Job(
        artifact="",
        runner="tensorrt",
        device="cpu",
        precision="fp32",
        batch=1,
        threads=1,
        probes=False,
        duration_s=0.001,
        min_samples=100,
    )
    found = time_calls(job, [call], [session.prepare_thread], frozenset({0}))
    launch = Launch.model_validate(
        {"load_s": 0.1, "compile_s": 0.1, "first_inference_ms": 1.0, **found}
    )
    memory = {"baseline_bytes": 1, "imported_bytes": 1, "loaded_bytes": 1, "compiled_bytes": 1}
    phases = {**memory, "first_inference_bytes": 1, "setup_peak_bytes": 1, "peak_bytes": 1}
    return Launch.model_validate({**launch.model_dump(), "memory": phases})


def test_engine_only_gpu_time_and_throughput_are_the_kernels(
    double: Double, load: Callable[..., Session]
) -> None:
    double.launches_cost(5000)
    with load([2 * MS]) as session:
        launch = launched(session, engine_only(session, images()))
    summary = summarise([launch], 1)
    assert summary is not None
    (state,) = summary.states
    assert len(launch.device_ns) == len(launch.samples_ns) >= 100
    assert state.device_p50_ms == pytest.approx(2.005, rel=PER_CENT)
    assert state.p50_ms == pytest.approx(2.005, rel=PER_CENT)
    assert state.throughput_per_s == pytest.approx(1000 / 2.005, rel=PER_CENT)


def test_host_to_host_is_upload_and_kernel_and_download(load: Callable[..., Session]) -> None:
    batch = 4
    with load([2 * MS], batch=batch) as session:
        launch = launched(session, host_to_host(session, images(batch)))
    copies_ns = (
        batch * IMAGE_BYTES / UPLOAD_BYTES_PER_NS + batch * IMAGE_BYTES / DOWNLOAD_BYTES_PER_NS
    )
    expected_ms = 2 + copies_ns / MS
    summary = summarise([launch], batch)
    assert summary is not None
    (state,) = summary.states
    assert state.p50_ms == pytest.approx(expected_ms, rel=PER_CENT)
    assert state.throughput_per_s == pytest.approx(batch * 1000 / expected_ms, rel=PER_CENT)
    assert state.device_p50_ms is None


def test_cuda_graph_takes_the_cost_of_one_launch_for_all_kernels(
    double: Double, load: Callable[..., Session]
) -> None:
    double.launches_cost(5000)
    times = {}
    for graph in (False, True):
        with load([2000] * 100, graph=graph) as session:
            times[graph] = launched(session, engine_only(session, images())).device_ns[-1]
    assert times[False] == pytest.approx(100 * 5000 + 2000, rel=PER_CENT)
    assert times[True] == pytest.approx(5000 + 100 * 2000, rel=PER_CENT)


@pytest.mark.parametrize("graph", [False, True])
def test_outputs_are_those_of_the_inputs_and_bound_ones_stay_when_others_are_inferred(
    graph: bool, load: Callable[..., Session]
) -> None:
    first, second, third = (images(2, 8, seed) for seed in (1, 2, 3))
    gaps = {"input": second["input"].transpose(1, 2, 3, 0).copy().transpose(3, 0, 1, 2)}
    with load([MS], side=8, batch=2, graph=graph) as session:
        bounds = [session.bind(first), session.bind(gaps)]
        assert np.array_equal(session.infer(third)["logits"], third["input"])
        for bound in (*bounds, *bounds):
            bound.run()
        assert np.array_equal(session.infer(first)["logits"], first["input"])
        assert np.array_equal(bounds[0].outputs()["logits"], first["input"])
        assert np.array_equal(bounds[1].outputs()["logits"], second["input"])
        assert np.array_equal(session.infer(third)["logits"], third["input"])


def test_session_allocates_once_and_gives_everything_back(
    double: Double, load: Callable[..., Session]
) -> None:
    live = double.live()
    with load([MS], side=8, graph=True) as session:
        bound = session.bind(images(side=8))
        session.infer(images(side=8))
        held = double.live()
        for _ in range(3):
            bound.run()
            session.infer(images(side=8))
        assert double.live() == held > live
    session.close()
    assert double.live() == live


def test_capture_that_fails_is_no_plain_launch(
    double: Double, load: Callable[..., Session]
) -> None:
    def waits(stream: int) -> bool:
        double.synchronize(stream)
        return True

    with load([MS], side=8, before_kernels=waits, graph=True) as session:
        with pytest.raises(DeviceError, match="cudaErrorStreamCaptureInvalidated"):
            session.compile()
        with pytest.raises(DeviceError, match="cudaErrorStreamCaptureInvalidated"):
            session.infer(images(side=8))
    with load([MS], side=8, before_kernels=waits) as session:
        session.infer(images(side=8))


def test_engine_that_does_not_run_says_so(load: Callable[..., Session]) -> None:
    words = r"TensorRT 11\.4\.0\.106 did not run the engine: it gave no reason"
    with (
        load([MS], side=8, before_kernels=lambda stream: False) as session,
        pytest.raises(DeviceError, match=words),
    ):
        session.infer(images(side=8))


def test_facts_say_what_runs_where_and_that_it_is_simulated(load: Callable[..., Session]) -> None:
    with load([MS], side=8, graph=True) as session:
        facts = session.facts()
    assert (facts.precision, facts.threads, facts.device) == ("fp32", 2, "cuda")
    assert facts.provider == "TensorRT 11.4.0.106"
    assert facts.provenance == "simulated"
    assert "NVIDIA GeForce RTX 3090 (sm86)" in facts.notes[0]
    assert "activations 3.0 MiB" in facts.notes[1]


@pytest.mark.parametrize(
    ("runner", "facts", "batch", "found", "expected", "action"),
    [
        (
            TensorRTRunner(),
            {"sm": 61, "gpu": "NVIDIA GeForce GTX 1080 Ti"},
            1,
            r"built for sm61 \(NVIDIA GeForce GTX 1080 Ti\), cuda:0 is NVIDIA GeForce RTX 3090 "
            r"\(sm86\)",
            "an engine for sm86",
            "build it for this GPU: deploybench export --model handed-on --backend tensorrt",
        ),
        (
            TensorRTRtxRunner(),
            {"sm": 89, "gpu": ""},
            1,
            r"built for sm89, cuda:0",
            "sm86",
            "--target sm86",
        ),
        (TensorRTRunner(), {}, 9, "for batches of 1 to 8, not 9", "from 1 to 8", "--batch 9"),
    ],
)
def test_engine_for_another_gpu_or_batch_is_refused_with_the_command_that_builds_it(
    runner: Runner,
    facts: Any,
    batch: int,
    found: str,
    expected: str,
    action: str,
    double: Double,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(made_up_tensorrt(double, [MS]), monkeypatch, type(runner))
    artifact = engine_artifact(tmp_path, backend=runner.name, **facts)
    with pytest.raises(DeployBenchError, match=found) as refusal:
        runner.load(artifact, options(batch=batch))
    assert not isinstance(refusal.value, DeviceError)
    assert expected in str(refusal.value.expected)
    assert action in str(refusal.value.action)
    misfit = runner.misfit(artifact, "cuda", batch)
    assert misfit is not None
    assert str(misfit) == str(refusal.value)


def test_engine_of_another_version_is_refused_before_it_is_loaded(
    load: Callable[..., Session],
) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        load([MS], side=8, facts={"tensorrt": "10.3.0"})
    assert (
        refusal.value.found == "the engine was built by TensorRT 10.3.0, this host has 11.4.0.106"
    )
    assert "build it again: deploybench export" in str(refusal.value.action)


def test_damaged_plan_is_a_failure_in_tensorrts_own_words(
    load: Callable[..., Session], tmp_path: Path
) -> None:
    with load([MS], side=8):
        pass
    (tmp_path / "engine" / "model.engine").write_bytes(b"other")
    artifact = Artifact(tmp_path / "engine", engine_artifact(tmp_path / "copy").manifest)
    with pytest.raises(
        DeviceError,
        match=r"did not load model\.engine: the plan does not begin with its magic number",
    ):
        TensorRTRunner().load(artifact, options())


def test_no_gpu_is_told_before_tensorrt_is_asked_for_a_runtime(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_MODE", "no-driver")
    module = made_up_tensorrt(double, [MS])
    module.__dict__["Runtime"] = lambda log: pytest.fail("a Runtime without a GPU ends the process")
    use(module, monkeypatch)
    with pytest.raises(
        DeployBenchError, match="no NVIDIA driver; do: run on a machine with an NVIDIA GPU"
    ):
        TensorRTRunner().load(engine_artifact(tmp_path), options())


def test_memory_that_does_not_suffice_is_a_failure_and_leaves_none_behind(
    double: Double, load: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOUBLE_MEMORY_MIB", "1")
    live = double.live()
    with pytest.raises(
        DeviceError,
        match=r"out of memory: asked for 1\.1 MiB, 1\.0 of 1\.0 MiB are free.*smaller batch",
    ):
        load([MS], batch=2)
    assert double.live() == live


def test_made_up_tensorrt_refuses_calls_that_the_real_one_does_not_take() -> None:
    lean = pytest.importorskip("tensorrt_lean")
    context = strict(
        lean.IExecutionContext, set_input_shape=lambda *_: True, execute_async_v3=lambda *_: True
    )
    engine = strict(lean.ICudaEngine, create_execution_context=lambda *_: context)
    assert engine.create_execution_context() is engine.create_execution_context(None) is context
    assert context.set_input_shape("input", (1, 3, 8, 8))
    for gone in ("execute_async_v2", "set_binding_shape"):
        with pytest.raises(AttributeError):
            getattr(context, gone)
    with pytest.raises(AttributeError):
        _ = engine.num_bindings
    with pytest.raises(TypeError, match=r"execute_async_v3 takes \[1\] arguments, it got 2"):
        context.execute_async_v3([], 1)


def test_rtx_compiles_its_kernels_apart_from_loading_and_asks_whether_the_plan_is_valid(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rtx = pytest.importorskip("tensorrt_rtx")
    module = made_up_tensorrt(double, [MS], version="1.7.1.116")
    config = strict(rtx.IRuntimeConfig)
    plain = module.Runtime(None).deserialize_cuda_engine(PLAN)
    made_with: list[Any] = []

    def new_context(asked: Any) -> Any:
        made_with.append(asked)
        return plain.create_execution_context()

    engine = made_up_engine(new_context, create_runtime_config=lambda: config)
    answers = [(rtx.EngineValidity.INVALID, int(rtx.EngineInvalidityDiagnostics.OLD_CUDA_DRIVER))]
    answers += [(rtx.EngineValidity.VALID, 0)]
    names = (
        "EngineValidity",
        "EngineInvalidityDiagnostics",
        "DynamicShapesKernelSpecializationStrategy",
    )
    module.__dict__.update(
        {name: getattr(rtx, name) for name in names},
        Runtime=lambda log: made_up_runtime(
            rtx.Runtime, engine, log, get_engine_validity=lambda plan: answers.pop()
        ),
    )
    use(module, monkeypatch, TensorRTRtxRunner)
    artifact = engine_artifact(tmp_path, backend="tensorrt-rtx", tensorrt="1.7.1.116")
    before = double.now()
    with TensorRTRtxRunner().load(artifact, options()) as session:
        assert double.now() == before, "nothing has run yet"
        session.compile()
        assert double.now() == before + MS
        assert session.facts().provider == "TensorRT-RTX 1.7.1.116"
    strategies = rtx.DynamicShapesKernelSpecializationStrategy
    assert made_with == [config]
    assert config.dynamic_shapes_kernel_specialization_strategy == strategies.EAGER
    with pytest.raises(
        DeployBenchError,
        match=r"will not run model\.engine here: OLD_CUDA_DRIVER; do: build it again",
    ):
        TensorRTRtxRunner().load(artifact, options())


def worker_launch(library: Path, folder: Path, **environment: str) -> Launch:
    """A launch in a worker of its own, whose libcudart is the double and whose ``tensorrt`` is the
    made-up one."""
    pytest.importorskip("tensorrt_lean")
    code = (
        "import ctypes\n"
        "from tests.runners.cudart_double import Double, made_up_tensorrt\n"
        "double = Double(ctypes.CDLL('libcudart.so.13'))\n"
        "globals().update(vars(made_up_tensorrt(double, [1_000_000])))\n"
    )
    (folder / "tensorrt.py").write_text(code)
    artifact = engine_artifact(folder / "engine", side=64)
    job = Job(
        artifact=str(artifact.path),
        runner="tensorrt",
        device="cuda",
        precision="fp32",
        batch=8,
        threads=1,
        timing="engine-only",
        probes=False,
        duration_s=0.02,
        min_samples=5,
    )
    search_path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
    environment = {"PYTHONPATH": search_path, "LD_LIBRARY_PATH": str(library.parent), **environment}
    outcome = run_child(
        "deploybench.measure.worker",
        job.model_dump_json(),
        time_limit_s=120,
        environment=environment,
    )
    assert outcome.reply is not None, (outcome.error, outcome.log)
    return Launch.model_validate_json(outcome.reply)


def test_worker_measures_on_the_double_and_no_speed_of_it_is_ever_shown(
    library: Path, tmp_path: Path
) -> None:
    launch = worker_launch(library, tmp_path)
    assert (launch.error, launch.refused) == (None, None)
    assert launch.parity is not None
    assert launch.parity.passed
    assert len(launch.device_ns) == len(launch.samples_ns) >= 5
    assert all(math.isclose(ns, MS + 5000, rel_tol=PER_CENT) for ns in launch.device_ns)
    assert launch.facts is not None
    assert launch.facts.provenance == "simulated"
    judgement = judge([launch], summarise([launch], 1), "deploybench run")
    assert judgement.verdict is Verdict.INVALID
    assert "simulated" in judgement.reason


def test_launch_that_runs_out_of_memory_has_failed_and_was_not_refused(
    library: Path, tmp_path: Path
) -> None:
    launch = worker_launch(library, tmp_path, DOUBLE_MEMORY_MIB="1")
    assert launch.refused is None
    assert "cudaErrorMemoryAllocation: out of memory" in str(launch.error)
    assert "take a smaller batch" in str(launch.error)
    assert judge([launch], None, "deploybench run").verdict is Verdict.FAILED
