"""ONNX Runtime's providers: what is refused, what runs where, and how precisions are asked for on a
GPU."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import onnxruntime
import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions
from deploybench.contracts.registry import runners
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import TF32_VARIABLE
from deploybench.measure.job import Job
from deploybench.measure.worker import launch
from deploybench.runners.onnxruntime import (
    RECORD_PLACEMENT,
    OnnxRuntimeRunner,
    OnnxRuntimeSession,
    cuda_options,
    open_session,
    placement,
    placement_notes,
)
from deploybench.runners.onnxruntime_tensorrt import (
    OnnxRuntimeTensorrtRunner,
    engine_folder,
)
from tests.runners.artifacts import unwritten

Artifacts = Callable[[str], Artifact]
CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
WITHOUT_CUDA = pytest.mark.skipif(
    CUDA in onnxruntime.get_available_providers(), reason="this ONNX Runtime has the CUDA provider"
)


def options(precision: str = "fp32", device: str = "cuda:1") -> RunOptions:
    return RunOptions(device=device, threads=1, precision=precision, batch=1)


@pytest.fixture(autouse=True)
def _own_variable() -> Iterator[None]:
    before = os.environ.pop(TF32_VARIABLE, None)
    yield
    os.environ.pop(TF32_VARIABLE, None)
    if before is not None:
        os.environ[TF32_VARIABLE] = before


@WITHOUT_CUDA
@pytest.mark.parametrize(
    ("runner", "provider"), [(OnnxRuntimeRunner(), CUDA), (OnnxRuntimeTensorrtRunner(), TENSORRT)]
)
def test_build_without_the_provider_says_which_it_has_and_what_to_install(
    runner: OnnxRuntimeRunner, provider: str
) -> None:
    reason = runner.check_device("cuda")
    assert reason is not None
    assert f"has no {provider}, it has" in reason
    assert CPU in reason
    assert "pip install onnxruntime-gpu" in reason


def test_each_runner_has_its_devices() -> None:
    assert OnnxRuntimeRunner().check_device("cpu") is None
    assert (
        OnnxRuntimeTensorrtRunner().check_device("cpu")
        == "onnxruntime-tensorrt runs on cuda, not on cpu"
    )


@WITHOUT_CUDA
def test_launch_on_a_gpu_is_refused_and_never_measured_on_the_cpu(tiny_artifact: Artifacts) -> None:
    path = str(tiny_artifact("onnx").path)
    found = launch(
        Job(
            artifact=path, runner="onnxruntime", device="cuda", precision="fp32", batch=1, threads=1
        )
    )
    assert found.refused is not None
    assert "pip install onnxruntime-gpu" in found.refused
    assert not found.measured


@WITHOUT_CUDA
def test_session_that_silently_fell_back_is_refused(
    tiny_artifact: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built with the provider, without its libraries: ONNX Runtime warns and runs on the CPU."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    with pytest.raises(
        DeployBenchError,
        match=f"could not start {CUDA} and would run {CPU}.*CUDA and "
        f"cuDNN.*onnxruntime-gpu.cuda,cudnn",
    ):
        open_session(str(tiny_artifact("onnx").entry), onnxruntime.SessionOptions(), ((CUDA, {}),))


@pytest.mark.parametrize(("precision", "use_tf32"), [("tf32", "1"), ("fp32", "0"), ("fp16", "0")])
def test_cuda_provider_is_told_its_gpu_and_whether_to_use_tf32(
    precision: str, use_tf32: str
) -> None:
    assert cuda_options(options(precision)) == {
        "device_id": "1",
        "use_tf32": use_tf32,
        "cudnn_conv_algo_search": "EXHAUSTIVE",
    }
    assert TF32_VARIABLE not in os.environ


def test_cuda_provider_is_told_not_to_search_where_a_cell_asks_for_heuristics() -> None:
    asked = RunOptions("cuda", 1, "fp32", 1, convolutions="heuristic")
    assert cuda_options(asked)["cudnn_conv_algo_search"] == "HEURISTIC"


@pytest.mark.parametrize("runner", ["pytorch", "torchscript", "onnxruntime"])
def test_choice_of_cudnns_algorithms_is_no_option_on_the_cpu(runner: str) -> None:
    plugin = runners()[runner].require()
    assert "convolutions" in plugin.options_on("cuda:1")
    assert "convolutions" not in plugin.options_on("cpu")


@pytest.mark.parametrize(("precision", "variable"), [("tf32", None), ("fp32", "0")])
def test_version_without_the_option_is_told_by_nvidia_s_variable(
    precision: str, variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "__version__", "1.14.1")
    found = cuda_options(options(precision))
    assert found == {"device_id": "1", "cudnn_conv_algo_search": "EXHAUSTIVE"}
    assert os.environ.get(TF32_VARIABLE) == variable


@pytest.mark.parametrize(
    ("runner", "artifact", "offered"),
    [
        (OnnxRuntimeRunner(), "fp32", {"fp32", "tf32"}),
        (OnnxRuntimeRunner(), "fp16", {"fp16"}),
        (OnnxRuntimeTensorrtRunner(), "fp32", {"fp32", "tf32", "fp16"}),
        (OnnxRuntimeTensorrtRunner(), "fp16", {"fp16"}),
    ],
)
def test_gpu_offers_other_precisions_than_the_cpu(
    runner: OnnxRuntimeRunner, artifact: str, offered: set[str]
) -> None:
    assert runner.precisions_on("cuda", artifact) == offered
    assert "tf32" not in runner.precisions_on("cpu", artifact)


@pytest.mark.parametrize(
    ("asked", "artifact_precision", "flag"),
    [("fp16", "fp32", "True"), ("fp16", "fp16", "True"), ("fp32", "fp32", "False")],
)
def test_tensorrt_builds_in_fp16_what_is_to_run_in_fp16(
    asked: str, artifact_precision: str, flag: str
) -> None:
    providers = OnnxRuntimeTensorrtRunner().gpu_providers(
        unwritten(artifact_precision), options(asked)
    )
    (name, chosen), (fallback, _) = providers
    assert (name, fallback) == (TENSORRT, CUDA)
    assert (chosen["trt_fp16_enable"], chosen["device_id"]) == (flag, "1")
    assert os.path.isdir(chosen["trt_engine_cache_path"])  # noqa: PTH112
    assert os.environ.get(TF32_VARIABLE) == "0"


@pytest.mark.parametrize(
    ("kept", "writes", "from_cache"),
    [((), True, False), (("a",), False, True), (("a",), True, False)],
)
def test_engines_that_were_kept_are_told_from_those_that_a_session_built(
    kept: tuple[str, ...],
    writes: bool,
    from_cache: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Only the first session on a machine builds: its loading is not that of the others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    artifact, asked = unwritten("fp32"), options()
    folder = engine_folder(artifact, asked)
    folder.mkdir(parents=True)
    for name in kept:
        (folder / f"{name}.engine").touch()

    def load(runner: OnnxRuntimeRunner, artifact: Artifact, asked: RunOptions) -> object:
        if writes:
            (folder / "new.engine").touch()
        return SimpleNamespace()

    monkeypatch.setattr(OnnxRuntimeRunner, "load", load)
    assert OnnxRuntimeTensorrtRunner().load(artifact, asked).from_cache is from_cache


class Reported:
    """What a session on a GPU says of itself."""

    def __init__(self, provider: str, settings: dict[str, str]) -> None:
        self.provider, self.settings = provider, settings

    def get_outputs(self) -> list[object]:
        return []

    def get_providers(self) -> list[str]:
        return [self.provider, CPU]

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {self.provider: self.settings, CPU: {}}

    def get_session_options(self) -> onnxruntime.SessionOptions:
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        return settings


@pytest.mark.parametrize(
    ("provider", "settings", "precision"),
    [
        (CUDA, {"use_tf32": "1"}, "tf32"),
        (CUDA, {"use_tf32": "0"}, "fp32"),
        (TENSORRT, {"trt_fp16_enable": "1"}, "fp16"),
        (TENSORRT, {"trt_fp16_enable": "0"}, "tf32"),
    ],
)
def test_precision_and_device_are_read_back_from_the_session(
    provider: str, settings: dict[str, str], precision: str
) -> None:
    reported = Reported(provider, {"device_id": "1", **settings})
    facts = OnnxRuntimeSession(unwritten(), reported, options()).facts()
    assert (facts.precision, facts.device, facts.provider) == (precision, "cuda:1", provider)


def test_variable_that_forbids_tf32_overrules_what_the_session_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TF32_VARIABLE, "0")
    reported = Reported(CUDA, {"device_id": "0", "use_tf32": "1"})
    assert OnnxRuntimeSession(unwritten(), reported, options()).facts().precision == "fp32"


def test_search_of_cudnns_algorithms_is_read_back_from_the_session() -> None:
    reported = Reported(CUDA, {"device_id": "1", "cudnn_conv_algo_search": "EXHAUSTIVE"})
    notes = OnnxRuntimeSession(unwritten(), reported, options()).facts().notes
    assert notes[-1] == "convolution algorithms: exhaustive search of cuDNN's"


def test_session_whose_provider_got_no_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    session = OnnxRuntimeSession(unwritten(), Reported(TENSORRT, {"device_id": "0"}), options())
    monkeypatch.setattr(
        "deploybench.runners.onnxruntime.placement", lambda _: {CUDA: Counter({"Conv": 50})}
    )
    with pytest.raises(DeployBenchError, match=f"{TENSORRT} took no node of the graph, {CUDA} did"):
        session.facts()


def test_nodes_are_counted_by_the_provider_that_got_them(tiny_artifact: Artifacts) -> None:
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry(RECORD_PLACEMENT, "1")
    session = open_session(str(tiny_artifact("onnx").entry), settings, ((CPU, {}),))
    found = placement(session)
    assert found is not None
    assert set(found) == {CPU}
    assert found[CPU]["MatMul"] + found[CPU]["FusedMatMul"] + found[CPU]["Gemm"] > 4
    assert placement_notes(found, CPU) == ()


def test_nodes_elsewhere_are_said_with_their_operators() -> None:
    found = {CUDA: Counter({"Conv": 50}), CPU: Counter({"Shape": 1, "Gather": 2})}
    assert placement_notes(found, CUDA) == (f"3 of 53 nodes run on {CPU}: Gather x 2, Shape x 1",)
    assert "does not tell" in placement_notes(None, CUDA)[0]
