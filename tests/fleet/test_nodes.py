"""A node: the profile that it may carry, and how Ray is started."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from deploybench.errors import DeployBenchError
from deploybench.fleet import nodes
from deploybench.fleet.nodes import (
    NodeRequest,
    RunningNode,
    fitting_profile,
    nodes_here,
    profile_for_node,
    start_command,
    stop_nodes,
)
from deploybench.hardware.profile import MismatchError, load_profile
from tests.records import gpu, host

FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
time.sleep(60)
"""
"""A process with a child."""
RTX3090 = host(gpus=(gpu("NVIDIA GeForce RTX 3090", "8.6"),))


def test_a_node_carries_what_the_machine_is() -> None:
    assert fitting_profile(RTX3090) == "rtx3090"
    assert profile_for_node("auto", host(cpu_vendor="Zilog", cpu_model="Z80")) == "host"
    assert profile_for_node("rtx3090", RTX3090) == "rtx3090"
    assert profile_for_node("host", RTX3090) == "host"
    assert profile_for_node("none", RTX3090) is None


def test_a_profile_that_the_machine_is_not_is_refused() -> None:
    with pytest.raises(MismatchError):
        profile_for_node("k80", RTX3090)
    with pytest.raises(DeployBenchError, match="unknown profile 'k8'"):
        profile_for_node("k8", RTX3090)


def test_ray_is_offered_a_slot_and_nothing_else() -> None:
    command = start_command(NodeRequest(), "xeon")

    assert "--head" in command
    assert "--num-cpus=0" in command
    assert "--node-ip-address=127.0.0.1" in command
    assert "--disable-usage-stats" in command
    (resources,) = [word for word in command if word.startswith("--resources=")]
    assert json.loads(resources.removeprefix("--resources=")) == {
        "deploybench_slot": 1,
        "profile:xeon": 1,
    }


def test_a_node_that_only_drives_offers_nothing() -> None:
    command = start_command(NodeRequest(address="10.0.0.1:6379", host="10.0.0.2"), None)

    assert "--head" not in command
    assert "--address=10.0.0.1:6379" in command
    assert "--resources={}" in command
    # Reached from elsewhere, as it was told: by Ray's own command.
    assert "ray.scripts.scripts" in command


def test_the_profiles_of_gpus_come_before_that_of_the_cpu() -> None:
    xeon = load_profile("xeon")
    both = host(cpu_vendor="GenuineIntel", cpu_model="Intel Xeon", gpus=RTX3090.gpus)
    assert xeon.device == "cpu"
    assert fitting_profile(both) == "rtx3090"


def test_stop_ends_the_node_with_its_children_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "_folder", lambda: tmp_path)
    child = subprocess.Popen([sys.executable, "-c", FAMILY])
    began = psutil.Process(child.pid).create_time()
    node = RunningNode(child.pid, began, "xeon", "127.0.0.1:6379")
    another = RunningNode(os.getpid(), began - 1000, "xeon", "127.0.0.1:6379")
    for one in (node, another):
        content = {
            "process": one.process,
            "began": one.began,
            "profile": one.profile,
            "address": one.address,
        }
        (tmp_path / f"{one.process}.json").write_text(json.dumps(content))
    while not psutil.Process(child.pid).children():
        pass
    below = psutil.Process(child.pid).children()

    assert nodes_here() == [node]
    stop_nodes(nodes_here())
    child.wait(timeout=20)

    assert nodes_here() == []
    assert not any(process.is_running() for process in below)
