"""A fleet run of 30 cells on three nodes of Ray, with a driver and a node killed half way.

The three "hosts" are three nodes on this one machine, with three made-up profiles that all fit it:
hosts for the sake of this program only, and no number of it says anything about three machines.
(They do not measure at the same time either: one measurement at a time is the rule of a machine.)

The driver is killed (kill -9) after a few records, while cells are measured, and resumed; later one
node is killed with all its processes. What has to come out: a row for every cell, measured or with
its cause; no cell measured to its end twice; no process left behind.

    python -m benchmarks.fleet_three_hosts [--cells 10] [--budget 2s] [--folder DIR]

``--cells`` are those of one profile. Exit code 1 where anything is lost or measured twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.host import describe_host
from deploybench.hardware.profile import Match, Peaks, Profile
from deploybench.hardware.profile_toml import profile_toml
from deploybench.results.record import Record
from deploybench.results.store import read_records

MODEL = "timm:test_vit"
RUNNERS = ("onnxruntime", "pytorch")
PROFILES = ("xeon-a", "xeon-b", "xeon-c")
LIMIT_S = 3600.0


@dataclass(frozen=True)
class Shown:
    """What came of it: the records, and how often each ticket was measured to its end."""

    cells: int
    records: tuple[Record, ...]
    measured_twice: tuple[str, ...]
    orphans: tuple[str, ...]
    resumed: int
    lost_profile: str

    @property
    def measured(self) -> int:
        return sum(record.summary is not None for record in self.records)

    @property
    def explained(self) -> int:
        """Rows without a number that say why."""
        return sum(
            record.summary is None and bool(record.judgement.reason) for record in self.records
        )

    @property
    def holds(self) -> bool:
        complete = len(self.records) == self.cells == self.measured + self.explained
        return complete and not self.measured_twice and not self.orphans


class Nodes:
    """Nodes of Ray on this machine, each with a cache of its own; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "RAY_TMPDIR": str(folder),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "DEPLOYBENCH_STATE": os.environ.get("DEPLOYBENCH_STATE", str(folder / "state")),
        }
        self.address = f"127.0.0.1:{free_port()}"
        self.processes: dict[str, int] = {}

    def __enter__(self) -> Nodes:
        port = self.address.rpartition(":")[2]
        self._say(self.start("none", "--port", port))
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(_command("fleet", "stop"), env=self.environment, check=False)

    def start(self, profile: str, *options: str) -> subprocess.Popen[str]:
        """A node that starts."""
        name = Path(profile).stem
        arguments = ["fleet", "start-node", "--profile", profile, *options]
        arguments += ["--cache", str(self.folder / f"node-{name}")]
        return subprocess.Popen(
            _command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def join(self, profile: str) -> None:
        """A node with that profile, by name or file."""
        words = self._say(self.start(profile, "--address", self.address))
        self.processes[Path(profile).stem] = int(words.split("process ")[1].split(",")[0])

    def kill(self, name: str) -> None:
        """The node, and everything that it started, at once and without a word."""
        leader = psutil.Process(self.processes[name])
        for member in [leader, *leader.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()

    def _say(self, child: subprocess.Popen[str]) -> str:
        words, _ = child.communicate(timeout=300)
        print(words.strip(), flush=True)
        if child.returncode:
            raise SystemExit(f"a node did not start: {words}")
        return words


def show(folder: Path, workspace: Workspace, cells: int, options: Sequence[str]) -> Shown:
    """The whole story in ``folder`` (a short path: Ray's sockets lie in it), with ``cells`` of each
    of the three profiles; ``options`` go to ``deploybench fleet run``."""
    profiles = [_profile(folder, name) for name in PROFILES]
    batches = ",".join(str(batch) for batch in range(1, cells // len(RUNNERS) + 1))
    everything = cells * len(PROFILES)
    before = _measuring_processes()
    with Nodes(folder) as nodes:
        for profile in profiles:
            nodes.join(str(profile))
        run = ["fleet", "run", "--address", nodes.address, "--workspace", str(workspace.root)]
        wanted = ["--model", MODEL, "--runner", ",".join(RUNNERS), "--batch", batches]
        for profile in profiles:
            wanted += ["--profile", str(profile)]
        first = _driver([*run, *wanted, "--wait", "5s", "--trust", *options], nodes.environment)
        _await_records(workspace, everything // 4, first)
        first.send_signal(signal.SIGKILL)
        first.wait()
        done = len(_records(workspace))
        print(f"driver killed after {done} of {everything} records", flush=True)
        second = _driver([*run, "--resume", "latest", "--wait", "5s"], nodes.environment)
        _await_records(workspace, max(everything // 2, done + 1), second)
        lost = PROFILES[1]
        nodes.kill(lost)
        print(f"node {lost} killed after {len(_records(workspace))} records", flush=True)
        second.wait(timeout=LIMIT_S)
    time.sleep(2.0)
    return Shown(
        cells=everything,
        records=tuple(_records(workspace)),
        measured_twice=_measured_twice(folder),
        orphans=tuple(sorted(_measuring_processes() - before)),
        resumed=done,
        lost_profile=lost,
    )


def _driver(arguments: Sequence[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(_command(*arguments), env=environment, start_new_session=True)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploybench", *arguments]


def _await_records(workspace: Workspace, count: int, driver: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + LIMIT_S
    while len(_records(workspace)) < count and time.monotonic() < until:
        if driver.poll() is not None:
            raise SystemExit(f"the driver ended early, with exit code {driver.returncode}")
        time.sleep(0.2)


def _records(workspace: Workspace) -> list[Record]:
    if not any(workspace.records_folder.glob("*/*.json")):
        return []
    return read_records(workspace.records_folder)


def _measured_twice(folder: Path) -> tuple[str, ...]:
    """Cells that nodes hold more than one complete record of: each run of a node measured one."""
    counts: Counter[str] = Counter()
    for node in folder.glob("node-*"):
        for path in node.glob("unpacked/*/records/*/*.json"):
            if json.loads(path.read_text("utf-8"))["complete"]:
                counts[f"{node.name}: {path.name}"] += 1
    return tuple(sorted(name for name, count in counts.items() if count > 1))


def _measuring_processes() -> set[str]:
    """What runs of this program's children, as ``number words``."""
    found = set()
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = " ".join(process.info["cmdline"] or [])
        if "deploybench.fleet" in words or "deploybench.measure" in words:
            found.add(f"{process.info['pid']} {words}")
    return found


def _profile(folder: Path, name: str) -> Path:
    """A made-up profile that fits the CPU of this machine, whatever it is."""
    profile = Profile(
        name=name,
        title=f"this machine, called {name} for a demonstration",
        device="cpu",
        match=Match(cpu_vendor="." if describe_host().cpu_vendor else None, cpu_model="^"),
        peaks=Peaks(tflops={"fp32": 1.0}, memory_gb_per_s=10.0, memory_gb=4.0),
        precisions=("fp32",),
        notes=("made up: no hardware of its own",),
    )
    path = folder / f"{name}.toml"
    path.write_text(profile_toml(profile), "utf-8")
    return path


def free_port() -> int:
    """Beyond the ports that Ray gives to its workers."""
    for port in range(26379, 27379):
        with socket.socket() as trial:
            if trial.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise SystemExit("no port is free")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--budget", default="2s")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="db-", dir="/tmp"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["DEPLOYBENCH_STATE"] = str(folder / "state")
    workspace = Workspace(folder / "workspace")
    workspace.prepare()
    for backend in ("onnx", "pytorch"):
        request = ExportRequest(model=ModelRequest(name=MODEL), backend=backend)
        export_one(request, workspace, ExportOptions())
    shown = show(folder, workspace, asked.cells, ["--budget", asked.budget, "--threads", "1"])
    verdicts = Counter(record.judgement.verdict.value for record in shown.records)
    print(
        f"{len(shown.records)} rows of {shown.cells} cells: {shown.measured} measured, "
        f"{shown.explained} explained ({dict(verdicts)})"
    )
    print(f"driver killed and resumed after {shown.resumed}; node {shown.lost_profile} killed")
    print(f"measured twice: {shown.measured_twice or 'nothing'}")
    print(f"left running: {shown.orphans or 'nothing'}")
    if asked.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(0 if shown.holds else 1)


if __name__ == "__main__":
    main()
