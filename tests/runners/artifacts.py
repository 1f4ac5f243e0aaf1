"""An artifact that nobody exported: the shapes and names that a session reads of one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from deploybench.artifacts.artifact import Artifact


def unwritten(precision: str = "fp32", size: int = 160) -> Artifact:
    """One input of (batch, 3, size, size), one output."""
    names = {
        "inputs": (SimpleNamespace(name="input"),),
        "outputs": (SimpleNamespace(name="logits"),),
    }
    manifest = SimpleNamespace(precision=precision, key="k" * 64, batch=None, adopted=None, **names)
    made = SimpleNamespace(
        path=Path("/nowhere"),
        manifest=manifest,
        batch_shape=lambda batch: {"input": (batch, 3, size, size)},
        input_dtypes=lambda: {"input": "float32"},
    )
    return cast(Artifact, made)
