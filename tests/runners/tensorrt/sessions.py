"""What the tests of TensorRT's sessions share: how they are asked for, and what goes in."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from deploybench.contracts import Runner, RunOptions
from deploybench.contracts.registry import runners
from deploybench.runners.tensorrt import TensorRTRunner

MS = 1_000_000
SIDE = 224
PER_CENT = 0.01


def use(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch, runner: type[Runner] = TensorRTRunner
) -> None:
    runners()  # as they are without it: the registry keeps what it found first
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
