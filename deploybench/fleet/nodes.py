"""This machine as a node: ``ray start`` with its profile as a resource and one slot to measure in.

Nothing but the slot is offered (no CPUs, no GPUs to Ray's own scheduling), so that no other work of
the cluster comes to a machine that measures. The node's processes are this program's child in a
session of their own; what it is lies in a file of the user's cache, by which ``stop`` ends it and
nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploybench.children.processes import python_module
from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder, write_whole
from deploybench.fleet.ray_cluster import LOOPBACK, PROFILE_PREFIX, SLOT, ray_module
from deploybench.fleet.ray_start import LOCALHOST
from deploybench.fleet.station import CACHE_VARIABLE, node_cache
from deploybench.hardware.host import Host
from deploybench.hardware.profile import (
    HOST,
    MismatchError,
    check_match,
    load_profile,
    profile_names,
)

DEFAULT_PORT = 6379
AUTO, NONE = "auto", "none"
START_LIMIT_S = 180.0
RUNS = "Ray runtime started"
TRIES = 3
"""To join: on a busy machine Ray gives up on what it cannot reach within seconds."""
STOP_LIMIT_S = 5.0
STORE_BYTES = 200 << 20
"""Of memory for files that travel, which come in parts of 64 MiB."""
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "0",
    "RAY_gcs_rpc_server_connect_timeout_s": "60",
    # Without a GPU of Ray's own an actor would see none, and measure on none.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1",
}
"""What Ray is told on a node: no reports to anybody, nothing collected, no GPUs hidden."""


@dataclass(frozen=True)
class NodeRequest:
    """A node to start. ``address`` is HOST:PORT of the cluster; None begins one on ``port``.

    ``profile`` is a name, a TOML file, ``host`` (whatever this machine is), ``auto`` or ``none`` (a
    node that drives and does not measure). ``host`` is the address that it listens on.
    """

    profile: str = AUTO
    address: str | None = None
    host: str = LOCALHOST
    port: int = DEFAULT_PORT
    cache: Path | None = None

    @property
    def on_this_machine(self) -> bool:
        """Whether nobody on another machine shall reach the node."""
        return self.host == LOCALHOST


@dataclass(frozen=True)
class RunningNode:
    """A node that was started here: its process, and when that began (seconds of the epoch)."""

    process: int
    began: float
    profile: str
    address: str

    @property
    def alive(self) -> bool:
        """Whether that very process lives."""
        try:
            began = float(psutil.Process(self.process).create_time())
        except psutil.Error:
            return False
        return abs(began - self.began) < 1.0


def profile_for_node(asked: str, host: Host) -> str | None:
    """The name of the profile that this machine carries; None for ``none``.

    Raises MismatchError where the machine is not what was asked for: no number is ever recorded
    under a name that the machine did not earn.
    """
    if asked == NONE:
        return None
    if asked == AUTO:
        return fitting_profile(host)
    if asked == HOST:
        return HOST
    profile = load_profile(asked)
    check_match(profile, host)
    return profile.name


def fitting_profile(host: Host) -> str:
    """The first built-in profile that the machine is, those of GPUs first; else ``host``."""
    profiles = [load_profile(name) for name in profile_names()]
    for profile in sorted(profiles, key=lambda profile: profile.device != "cuda"):
        try:
            check_match(profile, host)
        except MismatchError:
            continue
        return profile.name
    return HOST


def start_command(request: NodeRequest, profile: str | None) -> list[str]:
    """The ``ray start`` of a node."""
    resources: dict[str, int] = {}
    if profile is not None:
        resources = {SLOT: 1, f"{PROFILE_PREFIX}{profile}": 1}
    module = "ray.scripts.scripts"
    if request.on_this_machine:
        module = "deploybench.fleet.ray_start"
    command = [*python_module(module), "start", "--block"]
    if request.address is None:
        command += ["--head", f"--port={request.port}", "--include-dashboard=false", "--no-monitor"]
        # A door of its own that nothing here uses, and that Ray always opens.
        command += [f"--ray-client-server-port={request.port + 1}"]
    else:
        command += [f"--address={request.address}"]
    command += [
        f"--node-ip-address={request.host}",
        "--num-cpus=0",
        "--num-gpus=0",
        f"--object-store-memory={STORE_BYTES}",
        f"--resources={json.dumps(resources)}",
        "--include-log-monitor=false",
        "--disable-usage-stats",
        "--log-style=record",
        "--log-color=false",
    ]
    return command


def start_node(request: NodeRequest, host: Host) -> RunningNode:
    """Start the node in the background, and wait until Ray says that it runs.

    Raises DeployBenchError where it does not, with Ray's own words.
    """
    ray_module()
    profile = profile_for_node(request.profile, host)
    address = request.address or f"{request.host}:{request.port}"
    cache = (request.cache or node_cache()).resolve()
    child = _started(request, profile, address, cache)
    if request.on_this_machine:
        _check_loopback(child.pid)
    node = RunningNode(child.pid, psutil.Process(child.pid).create_time(), profile or NONE, address)
    write_whole(_folder() / f"{child.pid}.json", json.dumps(asdict(node)))
    return node


def _started(
    request: NodeRequest, profile: str | None, address: str, cache: Path
) -> subprocess.Popen[bytes]:
    """The process of a node of which Ray says that it runs."""
    _folder().mkdir(parents=True, exist_ok=True)
    begins = request.address is None
    log = _folder() / f"{profile or 'driver'}-{os.getpid()}.log"
    for _ in range(1 if begins else TRIES):
        with log.open("wb") as sink:
            child = subprocess.Popen(
                start_command(request, profile),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=_environment(request, cache),
                start_new_session=True,
            )
        until = time.monotonic() + START_LIMIT_S
        while child.poll() is None and time.monotonic() < until:
            if RUNS in _text_of(log):
                return child
            time.sleep(0.2)
        _end([child.pid])
    raise _not_started(_text_of(log), address, begins=begins)


def nodes_here() -> list[RunningNode]:
    """The nodes that were started here and live, oldest first; what is left of others goes."""
    nodes = []
    for path in sorted(_folder().glob("*.json")):
        try:
            node = RunningNode(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            continue
        if node.alive:
            nodes.append(node)
        else:
            path.unlink(missing_ok=True)
    return sorted(nodes, key=lambda node: node.began)


def stop_nodes(nodes: Sequence[RunningNode]) -> None:
    """End these nodes and all that they started."""
    _end([node.process for node in nodes if node.alive])
    for node in nodes:
        (_folder() / f"{node.process}.json").unlink(missing_ok=True)


def _environment(request: NodeRequest, cache: Path) -> dict[str, str]:
    environment = {**os.environ, **QUIET, CACHE_VARIABLE: str(cache)}
    if request.on_this_machine:
        environment.update(LOOPBACK)
    return environment


def _check_loopback(process: int) -> None:
    """End the node and refuse it where it listens on more than the loopback: another version of
    Ray may not do as it was told."""
    for member in _family(process):
        for address in _listening(member):
            if not address.removeprefix("::ffff:").startswith("127.") and address != "::1":
                _end([process])
                raise DeployBenchError(
                    f"Ray listens on {address}, where other machines reach it",
                    expected=f"{LOCALHOST} alone",
                    action="--host ADDRESS if that network is one of people who trust each other",
                )


def _listening(process: psutil.Process) -> list[str]:
    """The addresses that a process listens on."""
    look = getattr(process, "net_connections", None) or process.connections
    try:
        sockets = look(kind="tcp")
    except psutil.Error:  # gone by now
        return []
    return [socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN]


def _family(process: int) -> list[psutil.Process]:
    try:
        leader = psutil.Process(process)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _end(processes: Sequence[int]) -> None:
    """Ask these and all below them to end; kill what does not."""
    family = [member for process in processes for member in _family(process)]
    for member in family:
        _signal(member, signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=STOP_LIMIT_S)
    for member in alive:
        _signal(member, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=STOP_LIMIT_S)


def _signal(process: psutil.Process, number: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _not_started(log: str, address: str, *, begins: bool) -> DeployBenchError:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    words = lines[-1] if lines else "it said nothing"
    for line in lines:
        if "Error" in line or "rror:" in line:
            words = line
    action = f"look whether a cluster answers at {address}"
    if begins:
        action = "another --port, or --address to join a cluster that is there"
    return DeployBenchError(f"Ray did not start a node: {words}", action=action)


def _folder() -> Path:
    return cache_folder() / "fleet-nodes"


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
