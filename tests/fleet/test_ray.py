"""One node of Ray on this machine, and a fleet run on it, through the command line.

Three nodes, a driver and a node that are killed half way: ``python -m
benchmarks.fleet_three_hosts``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.fleet_three_hosts import free_port
from deploybench.artifacts.signature import sign
from tests.artifacts.workspaces import ONNX, kept_workspace
from tests.conftest import Cli
from tests.known_peaks import know_peaks


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Ray's sockets lie in it: their paths have 107 characters at most."""
    folder = Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_cells_are_measured_on_a_node_of_ray(cli: Cli, short_folder: Path) -> None:
    pytest.importorskip("ray")
    environment = {"RAY_TMPDIR": str(short_folder), "XDG_CACHE_HOME": str(short_folder / "cache")}
    know_peaks(short_folder / "cache" / "deploybench")
    workspace = kept_workspace(short_folder / "workspace", ONNX)
    sign(workspace.artifacts_folder / ONNX, "made")
    port = free_port()
    started = cli(
        *("fleet", "start-node", "--profile", "host", "--port", str(port)),
        *("--cache", short_folder / "node"),
        environment=environment,
    )
    try:
        assert started.returncode == 0, started.stderr
        run = cli(
            *("fleet", "run", "--profile", "host,k80", "--runner", "onnxruntime", "--wait", "1s"),
            *("--rounds", "1", "--duration", "0.05s", "--min-samples", "3", "--threads", "1"),
            *("--workspace", workspace.root, "--json"),
            environment=environment,
        )
        status = cli("fleet", "status", "--json", environment=environment)
    finally:
        stopped = cli("fleet", "stop", environment=environment)

    rows = {row["profile"]: row for row in json.loads(run.stdout)}
    assert set(rows) == {"host", "k80"}, run.stderr
    assert rows["host"]["verdict"] != "FAILED"
    assert rows["k80"]["verdict"] == "SKIPPED"
    assert "no node of the fleet carries the profile k80" in rows["k80"]["reason"]
    (node,) = json.loads(status.stdout)
    assert node["profile"] == "host"
    assert node["address"] == "127.0.0.1"
    assert node["measuring"] is None
    assert stopped.stdout.strip() == "1 node ended"
