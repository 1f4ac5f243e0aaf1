"""The program for a host with a GPU: what it refuses without one, what it plans, and what it
writes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.gpu_table import COLUMNS, QUICK, WHOLE, cells, document, exports
from deploybench.artifacts.artifact import Artifact
from deploybench.contracts.registry import runners
from deploybench.hardware.host import describe_host
from deploybench.plan.cells import Selection
from deploybench.results.launch import Launch
from deploybench.rows.rows import rows_of
from tests.records import gpu, host, launch, record


@pytest.mark.skipif(bool(describe_host().gpus), reason="this host has a CUDA device")
def test_program_is_refused_without_a_gpu_in_words(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu_table", str(tmp_path / "workspace")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no CUDA device" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "workspace").exists()


def test_weights_are_written_in_half_precision_only_where_loading_does_not_cast() -> None:
    asked = {
        (one.backend, one.precision) for one in exports(["vit"], ["onnx", "pytorch", "torchscript"])
    }
    assert asked >= {("torchscript", kind) for kind in ("fp32", "fp16", "bf16")} | {
        ("onnx", "fp16"),
        ("onnx", "fp32"),
    }
    assert {kind for form, kind in asked if form == "pytorch"} == {"fp32"}


def test_each_artifact_is_measured_in_what_its_runner_has_for_it_on_a_gpu(
    tiny_artifact: Callable[[str], Artifact],
) -> None:
    entries = [runners()[name] for name in ("pytorch", "torchscript")]
    asked = Selection(entries, [1, 8], (), 2, timings=("engine-only",), devices=["cuda"])
    found = cells([tiny_artifact("pytorch"), tiny_artifact("torchscript")], asked)
    assert {(one.cell.runner, one.cell.precision, one.cell.batch) for one in found} == {
        *(
            ("pytorch", kind, batch)
            for kind in ("fp32", "tf32", "fp16", "bf16")
            for batch in (1, 8)
        ),
        *(("torchscript", kind, batch) for kind in ("fp32", "tf32") for batch in (1, 8)),
    }
    assert {(one.cell.device, one.skip) for one in found} == {("cuda", None)}


def test_table_has_a_line_a_cell_with_both_times_and_the_cause_of_each_failure() -> None:
    def measured(ms: float) -> list[Launch]:
        return [launch([ms] * 20, number=number) for number in range(6)]

    made = [
        record(measured(8.0), device="cuda"),
        record(measured(6.0), device="cuda", timing="engine-only"),
        record(measured(2.0), device="cuda", runner="onnxruntime"),
        record([Launch(error="out of memory: 2 GiB")], device="cuda", runner="inductor"),
    ]
    text = document(rows_of(made), [], host(gpus=(gpu("Tesla K80", "3.7"),)), "cuda")
    lines = [line for line in text.splitlines() if line.startswith("| net")]
    assert all(line.count("|") == len(COLUMNS) + 1 for line in lines)
    eager, failed, ort = sorted(lines, key=lambda line: ("pytorch" not in line, line))
    assert "8 ± 0.0 % | 6 ± 0.0 %" in eager
    assert "4.00 (4.00 to 4.00)" in ort
    assert "FAILED" in failed
    assert "- **net / inductor / fp32 / batch 1**: out of memory: 2 GiB" in text
    assert "Tesla K80, compute capability 3.7, driver 580.95.05" in text


def test_quick_table_has_lines_of_bound_calls_alone_and_says_that_it_was_quick() -> None:
    made = [record([launch([6.0] * 20)], device="cuda", timing="engine-only")]
    described = host(gpus=(gpu("NVIDIA H100", "9.0"),))
    text = document(rows_of(made), [], described, "cuda", quick=True)
    (line,) = [line for line in text.splitlines() if line.startswith("| net")]
    assert line.count("|") == len(COLUMNS) + 1
    assert "| – | 6 |" in line
    assert "**Quick**" in text
    assert "**Quick**" not in document(rows_of(made), [], described, "cuda")


def test_quick_table_is_of_five_minutes() -> None:
    """Six seconds a launch: an import of torch, loading, proving, and the window."""
    cells_of_a_model = 2 * (4 + 4 + 4 + 3)  # two batch sizes; eager, Inductor, TorchScript, ONNX
    assert QUICK.models == "resnet50"
    assert cells_of_a_model * QUICK.rounds * len(QUICK.timings) * (5 + QUICK.duration_s) < 330
    assert WHOLE.rounds > QUICK.rounds
