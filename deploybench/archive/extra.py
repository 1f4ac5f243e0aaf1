"""The libraries of the extra ``results``: imported where they are used, missed in words."""

from __future__ import annotations

import importlib
from typing import Any

from deploybench.errors import DeployBenchError


def needed(module: str) -> Any:
    """The module, or a DeployBenchError that says how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise DeployBenchError(
            f"{module.partition('.')[0]} is not installed",
            expected="the extra results: DuckDB, Arrow and fsspec",
            action="pip install 'deploybench[results]'",
        ) from None
