"""The cluster of Ray: nodes carry their profile as a resource, and one slot to measure in.

On each node a detached actor holds the slot. It outlives the driver: what it measures when the
driver dies is finished, kept, and handed to the driver that resumes. Drivers of several fleet runs
share it, and wait for each other at each node. Ray runs whatever code a driver sends, so a cluster
is for people who trust each other; nothing here asks it to listen beyond where it was told to.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.fleet.driving import Reply
from deploybench.fleet.placement import Assignment, Node
from deploybench.fleet.station import PART_BYTES, Measured, Station
from deploybench.fleet.ticket import Answer, Ticket, Travelling

NAMESPACE = "deploybench"
SLOT = "deploybench_slot"
"""The resource of a node of which there is one: who has it measures there, and nobody else."""
PROFILE_PREFIX = "profile:"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
SHORT = 12
"""Characters of a node's identity that are shown."""
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""By this Ray leaves 127.0.0.1 as it is; see :mod:`deploybench.fleet.ray_start`."""
LOCAL_ADDRESSES = ("127.0.0.1", "localhost")
THREADS_OF_A_STATION = 8
"""One measures; the others answer who asks how it goes."""


def ray_module() -> Any:
    """Ray, without its usage statistics. Raises DeployBenchError where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise DeployBenchError(
            f"a fleet needs Ray: {error}", action='pip install "deploybench[fleet]"'
        ) from None
    return ray


def connect(address: str) -> Any:
    """Join the cluster at ``HOST:PORT``, or the one that this machine belongs to (``auto``).

    Raises DeployBenchError where there is none, or this machine is no node of it.
    """
    if address.rpartition(":")[0] in LOCAL_ADDRESSES:
        os.environ.update(LOOPBACK)
    ray = ray_module()
    try:
        ray.init(
            address=address,
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level="ERROR",
            ignore_reinit_error=True,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        first_line = (str(error).strip().splitlines() or ["no reason"])[0]
        raise DeployBenchError(
            f"no cluster answers at {address}: {first_line}",
            expected="a cluster that this machine is a node of",
            action="deploybench fleet start-node --profile none --address HOST:PORT joins one "
            "without measuring; deploybench fleet start-node begins one",
        ) from None
    return ray


def living_nodes(ray: Any) -> list[tuple[Node, dict[str, Any]]]:
    """The nodes that carry a profile and a slot, each with what Ray says of it."""
    found = []
    for told in ray.nodes():
        resources = told.get("Resources", {})
        if not told.get("Alive") or SLOT not in resources:
            continue
        for name in sorted(resources):
            if name.startswith(PROFILE_PREFIX):
                node = Node(told["NodeID"], name.removeprefix(PROFILE_PREFIX))
                found.append((node, told))
                break
    return found


class _RemoteStation:
    """The actor; its methods take and give JSON, so that both sides may be of unlike versions."""

    def __init__(self) -> None:
        self._station = Station()

    def measure(self, ticket_json: str, sent: Mapping[str, Sequence[Any]]) -> Measured:
        """Measure; of the files that were ``sent`` (references by SHA-256) take what is lacking."""
        ticket = Ticket.model_validate_json(ticket_json)
        ray = ray_module()
        for file in self._station.lacking(ticket):
            self._station.receive(file, (ray.get(part) for part in sent[file.sha256]))
        return self._station.measure(ticket)

    def under_way(self) -> str | None:
        """The ticket that is measured now."""
        return self._station.under_way


class RayCluster:
    """A :class:`~deploybench.fleet.driving.Cluster` of Ray's nodes.

    ``tickets`` by name; ``paths`` of the files that travel, by SHA-256.
    """

    def __init__(self, ray: Any, tickets: Mapping[str, Ticket], paths: Mapping[str, Path]) -> None:
        self._ray = ray
        self._tickets = tickets
        self._paths = paths
        self._sent: dict[str, list[Any]] = {}
        self._pending: dict[Any, Assignment] = {}

    def now_s(self) -> float:
        return time.monotonic()

    def nodes(self) -> list[Node]:
        return [node for node, _ in living_nodes(self._ray)]

    def start(self, assignment: Assignment) -> None:
        ticket = self._tickets[assignment.task.name]
        sent = {file.sha256: self._parts(file) for file in ticket.files}
        station = self._station(assignment.node)
        reference = station.measure.remote(ticket.model_dump_json(), sent)
        self._pending[reference] = assignment

    def stop(self, assignment: Assignment) -> None:
        for reference, pending in list(self._pending.items()):
            if pending == assignment:
                del self._pending[reference]
        # Its children die with it; the next cell of the node gets a new one.
        self._ray.kill(self._station(assignment.node))

    def replies(self, wait_s: float) -> list[Reply[Answer]]:
        if not self._pending:
            time.sleep(wait_s)
            return []
        references = list(self._pending)
        ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(references, num_returns=1, timeout=wait_s)
        return [self._reply(reference) for reference in ready]

    def _reply(self, reference: Any) -> Reply[Answer]:
        assignment = self._pending.pop(reference)
        try:
            measured: Measured = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            cause = _cause(error)
            return Reply(assignment, None, f"lost with node {short(assignment.node)}: {cause}")
        if measured.answer is None:
            return Reply(assignment, None, f"on node {short(assignment.node)}: {measured.lost}")
        return Reply(assignment, Answer.model_validate_json(measured.answer))

    def _station(self, node: Node) -> Any:
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        actor = self._ray.remote(_RemoteStation).options(
            name=f"station-{node.name}",
            namespace=NAMESPACE,
            get_if_exists=True,
            lifetime="detached",
            num_cpus=0,
            resources={SLOT: 1},
            max_concurrency=THREADS_OF_A_STATION,
            scheduling_strategy=strategy(node.name, soft=False),
        )
        return actor.remote()

    def _parts(self, file: Travelling) -> list[Any]:
        """The file in Ray's store, put there once."""
        if file.sha256 not in self._sent:
            parts = []
            with self._paths[file.sha256].open("rb") as source:
                while part := source.read(PART_BYTES):
                    parts.append(self._ray.put(part))
            self._sent[file.sha256] = parts
        return self._sent[file.sha256]


def short(node: Node) -> str:
    """The beginning of the node's identity, as it is shown."""
    return node.name[:SHORT]


def _cause(error: Exception) -> str:
    """Ray's words in one line, with the kind of error: of a traceback the last line."""
    lines = [COLOURS.sub("", line).strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line] or ["no reason"]
    said = lines[0]
    if len(lines) > 1 and "Error" in lines[-1]:
        said = lines[-1]
    return f"{type(error).__name__}: {said}"
