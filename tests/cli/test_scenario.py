"""``deploybench scenario`` as a user types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.scenarios.settings import queries_for_early_stopping
from tests.cli.processes import children_of, started_cli, wait_for
from tests.conftest import TINY, Cli

QUICK = ("--duration", "50ms", "--threads", "2")


@pytest.mark.measures
def test_scenarios_of_two_runners_are_rows_of_one_table(
    tiny_workspace: Workspace, cli: Cli
) -> None:
    arguments = (
        "-w",
        tiny_workspace.root,
        "-r",
        "onnxruntime,openvino",
        "-s",
        "single-stream,offline",
        *QUICK,
    )
    done = cli("scenario", *arguments)
    assert done.returncode == 0, done.stderr
    rows = [
        line.split()
        for line in done.stdout.splitlines()
        if line.startswith(("single-stream", "offline"))
    ]
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        (scenario, runner, "VALID")
        for scenario in ("single-stream", "offline")
        for runner in ("onnxruntime", "openvino")
    ]
    assert done.stdout.count(TINY) == 1
    assert "Not an MLPerf submission: at least 0.05 s a test" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 112


def test_invalid_row_has_loadgen_s_reason_and_exit_1(tiny_workspace: Workspace, cli: Cli) -> None:
    arguments = (
        "-w",
        tiny_workspace.root,
        "-r",
        "onnxruntime",
        "-s",
        "single-stream",
        "--min-queries",
        "3",
        *QUICK,
    )
    table = cli("scenario", *arguments, "--percentile", "99.9")
    assert table.returncode == 1
    assert "not satisfied: early stopping" in table.stdout
    assert f"at least {queries_for_early_stopping(99.9)} queries" in " ".join(table.stdout.split())
    rows = cli("scenario", *arguments, "--percentile", "99.9", "--json")
    (row,) = json.loads(rows.stdout)
    assert (row["verdict"], row["scenario"], row["mlperf_submission"]) == (
        "INVALID",
        "single-stream",
        False,
    )
    assert 0 < row["p50_ms"] <= row["p99_9_ms"]
    assert row["loadgen_percentiles_ns"]["99.90"] == pytest.approx(row["p99_9_ms"] * 1e6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-s", "serve"), ["unknown scenario 'serve'", "did you mean server?"]),
        (
            ("-s", "server", "--latency-bound", "soon"),
            ["--latency-bound soon", "a time: 2, 2s or 500ms"],
        ),
        (("-s", "offline", "--target-qps", "5"), ["--target-qps with --scenario offline", "do: "]),
        (("-r", "onnx-runtime"), ["unknown runner 'onnx-runtime'", "onnxruntime"]),
        ((), ["holds no artifact to run", "deploybench export --model"]),
    ],
)
def test_bad_input_is_refused_in_three_lines(
    arguments: tuple[str, ...], words: list[str], cli_here: Cli, tmp_path: Path
) -> None:
    done = cli_here("scenario", "-w", tmp_path, *arguments)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 4
    assert [word for word in words if word not in done.stderr] == []


def test_missing_loadgen_is_refused_with_the_pip_line(
    tiny_workspace: Workspace, cli: Cli, tmp_path: Path
) -> None:
    hook = "import importlib.util as u\nfind = u.find_spec\n"
    hook += (
        "u.find_spec = lambda name, package=None: None if name == 'mlperf_loadgen' else "
        "find(name, package)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(hook)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = cli("scenario", "-w", tiny_workspace.root, environment={"PYTHONPATH": path})
    assert done.returncode == 2
    assert 'pip install "deploybench[loadgen]"' in done.stderr


def test_interrupt_keeps_what_is_finished_and_leaves_no_process(
    tiny_workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    arguments = [
        "-w",
        str(tmp_path),
        "-r",
        "onnxruntime",
        "-s",
        "offline,single-stream",
        "--min-queries",
        "500000",
    ]
    with started_cli("scenario", *arguments, "--json", *QUICK) as child:
        workers = wait_for(lambda: children_of(child.pid, "scenarios.worker"))
        time.sleep(2)  # until it is at work
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert json.loads(output) == []
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert list(tmp_path.rglob(".partial-*")) == []
