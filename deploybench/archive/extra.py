"""The libraries of the extra ``results``: imported where they are used, missed in words."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import MetaPathFinder
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


def leave_pandas_out() -> None:
    """Let this process do without pandas, which takes longer to import than thousands of records
    take to be read.

    Arrow imports pandas, where it is installed, to see whether a list is one of pandas' own. It
    looks once; what it found then holds for the process. So this is for processes of ours: a
    command, or a fork of it; not for a program that may want ``to_pandas``.
    """
    if "pandas" in sys.modules:
        return
    arrow = needed("pyarrow")
    without = _WithoutPandas()
    sys.meta_path.insert(0, without)
    try:
        arrow.array([])
    finally:
        sys.meta_path.remove(without)


class _WithoutPandas(MetaPathFinder):
    """Finds that there is no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)
