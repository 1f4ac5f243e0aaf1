"""What is read of an engine that somebody else built, with a made-up TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploybench.errors import DeployBenchError
from deploybench.runners import tensorrt_engine, tensorrt_files
from deploybench.runners.tensorrt import TensorRTRunner
from tests.runners.cudart_double import (
    INPUT,
    OUTPUT,
    Double,
    made_up_engine,
    made_up_runtime,
    made_up_tensorrt,
)
from tests.runners.tensorrt.sessions import use


@pytest.fixture
def engine_file(double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine for batches of 1 to 8."""
    lean = pytest.importorskip("tensorrt_lean")
    module: Any = made_up_tensorrt(double, [1])

    def shape(name: str) -> tuple[int, ...]:
        return (-1, 3, 8, 8) if name == INPUT else (-1, 5)

    def profile(name: str, index: int) -> tuple[tuple[int, ...], ...]:
        assert (name, index) == (INPUT, 0)
        return tuple((batch, 3, 8, 8) for batch in (1, 4, 8))

    engine = made_up_engine(lambda: None, get_tensor_shape=shape, get_tensor_profile_shape=profile)
    module.Runtime = lambda log: made_up_runtime(lean.Runtime, engine, log)
    use(module, monkeypatch)
    # The fixture ``double`` has put a made-up CUDA there.
    monkeypatch.setattr(tensorrt_files, "open_cuda", tensorrt_engine.open_cuda)
    (tmp_path / "net.engine").write_bytes(b"plan")
    return tmp_path / "net.engine"


def test_an_engine_tells_its_tensors_and_what_it_was_built_for(engine_file: Path) -> None:
    told = TensorRTRunner().look_into(engine_file)
    (taken,), (given,) = told.inputs, told.outputs
    assert (taken.name, taken.dtype, taken.shape) == (INPUT, "float32", ("", 3, 8, 8))
    assert (given.name, given.shape) == (OUTPUT, ("", 5))
    assert (told.facts["batch_min"], told.facts["batch_max"]) == (1, 8)
    assert {"sm", "gpu", "tensorrt"} <= told.facts.keys()
    assert told.precision is None
    assert told.parameters is None


def test_what_tensorrt_does_not_load_is_told_in_its_words(engine_file: Path) -> None:
    engine_file.write_bytes(b"damaged")
    with pytest.raises(DeployBenchError, match="does not begin with its magic number"):
        TensorRTRunner().look_into(engine_file)
