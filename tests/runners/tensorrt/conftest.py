"""A CUDA with known kernel times, and engines loaded on it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploybench.contracts import Session
from deploybench.measure import loop, timed
from deploybench.runners import tensorrt_engine
from deploybench.runners.cuda_runtime import Cuda
from deploybench.runners.tensorrt import TensorRTRunner
from deploybench.telemetry.energy import Unavailable
from tests.runners.cudart_double import (
    Double,
    build_double,
    made_up_tensorrt,
)
from tests.runners.engine_artifacts import engine_artifact
from tests.runners.tensorrt.sessions import SIDE, options, use


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
