"""A precision that no runner of a run computes in is refused before anything is exported for it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts.registry import runners
from deploybench.errors import EXIT_REFUSED, DeployBenchError
from deploybench.plan.cells import Selection
from deploybench.plan.reachable import check_precisions
from tests.conftest import TINY, Cli


def selection(runner: str, *precisions: str) -> Selection:
    return Selection([runners()[runner]], [1], precisions, 2, devices=["cpu"])


def artifact(backend: str, precision: str) -> Artifact:
    manifest = SimpleNamespace(backend=backend, precision=precision)
    return cast(Artifact, SimpleNamespace(manifest=manifest))


def test_precision_that_no_runner_computes_in_is_refused_with_those_that_they_do() -> None:
    with pytest.raises(DeployBenchError, match=r"computes in int8 here: torchscript") as caught:
        check_precisions(selection("torchscript", "int8"), [], None)
    assert caught.value.expected is not None
    assert "fp32" in caught.value.expected


@pytest.mark.parametrize("precisions", [(), ("fp32",), ("int8", "fp32")])
def test_run_goes_on_where_one_precision_is_reached(precisions: tuple[str, ...]) -> None:
    check_precisions(selection("torchscript", *precisions), [], None)


def test_artifact_that_is_there_is_enough_although_nothing_here_writes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deploybench.plan.reachable.exporters", dict)
    with pytest.raises(DeployBenchError):
        check_precisions(selection("onnxruntime", "fp32"), [], None)
    with pytest.raises(DeployBenchError):
        check_precisions(selection("onnxruntime", "fp32"), [artifact("openvino", "fp32")], None)
    check_precisions(selection("onnxruntime", "fp32"), [artifact("onnx", "fp32")], None)


def test_run_in_such_a_precision_exports_nothing_and_leaves_no_run(
    tmp_path: Path, cli_here: Cli
) -> None:
    done = cli_here("run", "-m", TINY, "-r", "torchscript", "--precision", "int8", "-w", tmp_path)
    assert done.returncode == EXIT_REFUSED, done.stderr
    assert "--precision fp32" in done.stderr
    assert list(tmp_path.glob("artifacts/*")) == []
    assert list(tmp_path.glob("records/*")) == []
