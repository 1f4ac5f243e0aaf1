"""What a TensorRT runner refuses or reports as failed, each with what was found and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Runner, Session
from deploybench.errors import DeployBenchError, DeviceError
from deploybench.runners.tensorrt import TensorRTRunner
from deploybench.runners.tensorrt_rtx import TensorRTRtxRunner
from tests.runners.cudart_double import (
    Double,
    made_up_tensorrt,
)
from tests.runners.engine_artifacts import engine_artifact
from tests.runners.tensorrt.sessions import MS, images, options, use


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
