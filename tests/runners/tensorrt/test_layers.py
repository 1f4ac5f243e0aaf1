"""Time by layer of an engine, by a made-up IProfiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploybench.errors import DeployBenchError
from deploybench.runners.tensorrt import TensorRTRunner
from tests.runners.cudart_double import Double, made_up_tensorrt
from tests.runners.engine_artifacts import engine_artifact
from tests.runners.tensorrt.sessions import MS, SIDE, images, options, use


@pytest.fixture
def load_profiled(
    double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Loads an engine that reports two layers in each run."""
    made: list[Any] = []

    class Profiler:
        def __init__(self) -> None:
            made.append(self)

    def report(stream: int) -> bool:
        for profiler in made:
            profiler.report_layer_time("node_conv + node_relu", 0.5)
            profiler.report_layer_time("node_linear", 0.25)
        return True

    module = made_up_tensorrt(double, [MS], before_kernels=report)
    module.__dict__["IProfiler"] = Profiler
    use(module, monkeypatch)
    artifact = engine_artifact(tmp_path / "engine", side=SIDE)

    def loaded(*, graph: bool = False) -> Any:
        return TensorRTRunner().load_profiled(artifact, options(cuda_graph=graph))

    return loaded


def test_an_engine_reports_its_layers_call_by_call(load_profiled: Callable[..., Any]) -> None:
    with load_profiled() as session:
        session.infer(images())  # not collected
        for _ in range(2):
            session.infer(images())
            session.collect()
        times = session.layer_times()

    assert [layer.name for layer in times.layers] == ["node_conv + node_relu", "node_linear"]
    assert times.calls_ms == ((0.5, 0.25), (0.5, 0.25))
    assert all(layer.modules == () for layer in times.layers)


def test_layers_within_a_cuda_graph_are_refused(load_profiled: Callable[..., Any]) -> None:
    with pytest.raises(DeployBenchError, match="layers within a CUDA graph"):
        load_profiled(graph=True)
