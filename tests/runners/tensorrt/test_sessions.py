"""The TensorRT runners on real class definitions (tensorrt_lean) and a double of CUDA with known
kernel times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploybench.analysis.summary import summarise
from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Session
from deploybench.errors import DeployBenchError
from deploybench.measure.calls import engine_only, host_to_host
from deploybench.measure.job import Job
from deploybench.measure.scheduler import worker_environment
from deploybench.measure.timed import time_calls
from deploybench.results.launch import Launch
from deploybench.runners.tensorrt_rtx import TensorRTRtxRunner
from tests.runners.cudart_double import (
    DOWNLOAD_BYTES_PER_NS,
    PLAN,
    UPLOAD_BYTES_PER_NS,
    Double,
    made_up_engine,
    made_up_runtime,
    made_up_tensorrt,
    strict,
)
from tests.runners.engine_artifacts import engine_artifact
from tests.runners.tensorrt.sessions import MS, PER_CENT, SIDE, images, options, use

IMAGE_BYTES = 3 * SIDE * SIDE * 4


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
        {"load_s": 0.1, "compile_s": 0.1, "first_inference_ms": 1.0, **vars(found)}
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


def test_facts_say_what_runs_where_and_that_it_is_simulated(load: Callable[..., Session]) -> None:
    with load([MS], side=8, graph=True) as session:
        facts = session.facts()
    assert (facts.precision, facts.threads, facts.device) == ("fp32", 2, "cuda")
    assert facts.provider == "TensorRT 11.4.0.106"
    assert facts.provenance == "simulated"
    assert "NVIDIA GeForce RTX 3090 (sm86)" in facts.notes[0]
    assert "activations 3.0 MiB" in facts.notes[1]


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


@dataclass
class Rtx:
    """A made-up TensorRT-RTX: what it answers, and what contexts were made with.

    ``loads`` is whether an engine is deserialised; ``capturable`` what a context says of graphs.
    """

    config: Any
    validity: tuple[Any, int]
    made_with: list[Any] = field(default_factory=list)
    loads: bool = True
    capturable: bool = True


@pytest.fixture
def rtx(double: Double, monkeypatch: pytest.MonkeyPatch) -> Rtx:
    rtx = pytest.importorskip("tensorrt_rtx")
    module = made_up_tensorrt(double, [MS], version="1.7.1.116")
    made = Rtx(strict(rtx.IRuntimeConfig), (rtx.EngineValidity.VALID, 0))
    plain = module.Runtime(None).deserialize_cuda_engine(PLAN)

    def new_context(asked: Any) -> Any:
        made.made_with.append(asked)
        return Asked(plain.create_execution_context(), made)

    engine = made_up_engine(new_context, create_runtime_config=lambda: made.config)
    names = (
        "EngineValidity",
        "EngineInvalidityDiagnostics",
        "DynamicShapesKernelSpecializationStrategy",
    )
    module.__dict__.update(
        {name: getattr(rtx, name) for name in names},
        Runtime=lambda log: made_up_runtime(
            rtx.Runtime,
            engine if made.loads else None,
            log,
            get_engine_validity=lambda plan: made.validity,
        ),
    )
    use(module, monkeypatch, TensorRTRtxRunner)
    return made


class Asked:
    """A context of TensorRT-RTX: the classic one, which also tells whether a graph can hold it."""

    def __init__(self, context: Any, made: Rtx) -> None:
        self._context = context
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def is_stream_capturable(self, stream: int) -> bool:
        return self._made.capturable


@pytest.fixture
def rtx_artifact(tmp_path: Path) -> Artifact:
    return engine_artifact(tmp_path, backend="tensorrt-rtx", tensorrt="1.7.1.116")


def test_rtx_compiles_its_kernels_apart_from_loading(
    double: Double, rtx: Rtx, rtx_artifact: Artifact
) -> None:
    before = double.now()
    with TensorRTRtxRunner().load(rtx_artifact, options()) as session:
        assert double.now() == before, "nothing has run yet"
        session.compile()
        assert double.now() == before + MS
        assert session.facts().provider == "TensorRT-RTX 1.7.1.116"
        assert len(session.facts().notes) == 3
    import tensorrt_rtx

    strategies = tensorrt_rtx.DynamicShapesKernelSpecializationStrategy
    assert rtx.made_with == [rtx.config]
    assert rtx.config.dynamic_shapes_kernel_specialization_strategy == strategies.EAGER


def test_rtx_worker_compiles_with_the_drivers_cache_off_and_the_row_says_whether_it_was(
    rtx: Rtx, rtx_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver finds in it what the first launch compiled: later ones would compile nothing."""
    job = Job(
        artifact="", runner="tensorrt-rtx", device="cuda", precision="fp32", batch=1, threads=1
    )
    assert worker_environment(job)["CUDA_CACHE_DISABLE"] == "1"
    assert "CUDA_CACHE_DISABLE" not in worker_environment(job.replaced(runner="tensorrt"))
    assert "CUDA_CACHE_DISABLE" not in worker_environment(job.replaced(runner="of nobody"))
    for value, words in (("1", "compiled afresh"), ("0", "may come from the driver's cache")):
        monkeypatch.setenv("CUDA_CACHE_DISABLE", value)
        with TensorRTRtxRunner().load(rtx_artifact, options()) as session:
            assert words in session.facts().notes[-1]


def test_rtx_engine_that_is_called_invalid_runs_with_a_note_where_it_loads_and_else_is_refused(
    rtx: Rtx, rtx_artifact: Artifact
) -> None:
    import tensorrt_rtx

    cause = tensorrt_rtx.EngineInvalidityDiagnostics.OLD_CUDA_DRIVER
    rtx.validity = (tensorrt_rtx.EngineValidity.INVALID, int(cause))
    words = "TensorRT-RTX calls the engine INVALID here: OLD_CUDA_DRIVER"
    with TensorRTRtxRunner().load(rtx_artifact, options()) as session:
        assert session.facts().notes[-1] == f"{words}; it ran all the same"
    rtx.loads = False
    with pytest.raises(DeployBenchError, match=rf"did not load.*; {words}; do: build it again"):
        TensorRTRtxRunner().load(rtx_artifact, options())


def test_rtx_engine_that_allocates_while_it_runs_is_not_captured(
    rtx: Rtx, rtx_artifact: Artifact
) -> None:
    rtx.capturable = False
    with (
        TensorRTRtxRunner().load(rtx_artifact, options(cuda_graph=True)) as session,
        pytest.raises(DeployBenchError, match="--option cuda_graph=true"),
    ):
        session.compile()
    with TensorRTRtxRunner().load(rtx_artifact, options()) as session:
        session.compile()
    rtx.capturable = True
    with TensorRTRtxRunner().load(rtx_artifact, options(cuda_graph=True)) as session:
        session.compile()
