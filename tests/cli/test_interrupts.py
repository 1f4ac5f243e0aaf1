"""What stays after an interrupt, and after the command itself was killed."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import psutil

from deploybench.artifacts.workspace import Workspace
from deploybench.results.store import read_records
from tests.cli.processes import children_of, started_cli, wait_for
from tests.conftest import TINY

QUICK = ("--duration", "50ms", "--min-samples", "8")


def test_interrupt_keeps_what_is_finished_and_leaves_no_process(
    tiny_workspace: Workspace, tmp_path: Path
) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    arguments = [
        "run",
        "-w",
        str(tmp_path),
        "-r",
        "onnxruntime,openvino",
        "--rounds",
        "50",
        "--json",
        *QUICK,
    ]
    with started_cli(*arguments) as child:
        wait_for(lambda: len(list(tmp_path.glob("records/*/*.json"))) == 2)
        family = children_of(child.pid)
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    rows = json.loads(output)
    assert len({row["runner"] for row in rows}) == 2
    assert all(
        not row["complete"] and row["launches"] > 0 and row["stopped"] is None for row in rows
    )
    assert [
        process for process in family if process.is_running() and process.status() != "zombie"
    ] == []
    assert len(read_records(tmp_path / "records")) == 2
    assert list(tmp_path.rglob(".partial-*")) == []


def test_interrupted_export_leaves_neither_processes_nor_partial_folders(tmp_path: Path) -> None:
    arguments = [
        "export",
        "-w",
        str(tmp_path),
        "-m",
        TINY,
        "-b",
        "pytorch,torchscript,onnx",
        "-j",
        "2",
    ]
    with started_cli(*arguments) as child:
        wait_for(lambda: list(tmp_path.glob("artifacts/.partial-*")))
        family = wait_for(lambda: children_of(child.pid))
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=60) == 130
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert list(tmp_path.glob("artifacts/.partial-*")) == []


def test_killed_parent_leaves_no_worker_behind(tiny_workspace: Workspace, tmp_path: Path) -> None:
    shutil.copytree(tiny_workspace.artifacts_folder, tmp_path / "artifacts")
    arguments = ["run", "-w", str(tmp_path), "-r", "onnxruntime", "--duration", "30s"]
    with started_cli(*arguments) as child:
        workers = wait_for(lambda: children_of(child.pid, "measure.resident_worker"))
        time.sleep(1)  # until it is at work
        child.kill()
        child.wait()
    assert psutil.wait_procs(workers, timeout=10)[1] == []
