"""TensorRT in a worker of its own, on a double of CUDA: what is recorded, and what is not shown."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.children.processes import run_child
from deploybench.measure.job import Job
from deploybench.results.launch import Launch
from deploybench.results.verdict import Verdict
from tests.runners.engine_artifacts import engine_artifact
from tests.runners.tensorrt.sessions import MS, PER_CENT


def worker_launch(library: Path, folder: Path, **environment: str) -> Launch:
    """A launch in a worker of its own, whose libcudart is the double and whose ``tensorrt`` is the
    made-up one."""
    pytest.importorskip("tensorrt_lean")
    code = (
        "import ctypes\n"
        "from tests.runners.cudart_double import Double, made_up_tensorrt\n"
        "double = Double(ctypes.CDLL('libcudart.so.13'))\n"
        "globals().update(vars(made_up_tensorrt(double, [1_000_000])))\n"
    )
    (folder / "tensorrt.py").write_text(code)
    artifact = engine_artifact(folder / "engine", side=64)
    job = Job(
        artifact=str(artifact.path),
        runner="tensorrt",
        device="cuda",
        precision="fp32",
        batch=8,
        threads=1,
        timing="engine-only",
        probes=False,
        duration_s=0.02,
        min_samples=5,
    )
    search_path = os.pathsep.join([str(folder), str(Path(__file__).parents[3])])
    environment = {"PYTHONPATH": search_path, "LD_LIBRARY_PATH": str(library.parent), **environment}
    outcome = run_child(
        "deploybench.measure.worker",
        job.model_dump_json(),
        time_limit_s=120,
        environment=environment,
    )
    assert outcome.reply is not None, (outcome.error, outcome.log)
    return Launch.model_validate_json(outcome.reply)


def test_worker_measures_on_the_double_and_no_speed_of_it_is_ever_shown(
    library: Path, tmp_path: Path
) -> None:
    launch = worker_launch(library, tmp_path)
    assert (launch.error, launch.refused) == (None, None)
    assert launch.parity is not None
    assert launch.parity.passed
    assert len(launch.device_ns) == len(launch.samples_ns) >= 5
    assert all(math.isclose(ns, MS + 5000, rel_tol=PER_CENT) for ns in launch.device_ns)
    assert launch.facts is not None
    assert launch.facts.provenance == "simulated"
    judgement = judge([launch], summarise([launch], 1), "deploybench run")
    assert judgement.verdict is Verdict.INVALID
    assert "simulated" in judgement.reason


def test_launch_that_runs_out_of_memory_has_failed_and_was_not_refused(
    library: Path, tmp_path: Path
) -> None:
    launch = worker_launch(library, tmp_path, DOUBLE_MEMORY_MIB="1")
    assert launch.refused is None
    assert "cudaErrorMemoryAllocation: out of memory" in str(launch.error)
    assert "take a smaller batch" in str(launch.error)
    assert judge([launch], None, "deploybench run").verdict is Verdict.FAILED
