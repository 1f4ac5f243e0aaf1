"""What the nodes of a cluster are, and what each measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deploybench.fleet.ray_cluster import NAMESPACE, living_nodes, short

ANSWER_LIMIT_S = 10.0


@dataclass(frozen=True)
class NodeStatus:
    """A node that carries a profile; ``measuring`` is the ticket that it has now, or None."""

    node: str
    profile: str
    address: str
    measuring: str | None


def status_of(ray: Any) -> list[NodeStatus]:
    """The living nodes of the cluster that ``ray`` is connected to, by profile."""
    status = []
    for node, told in living_nodes(ray):
        status.append(
            NodeStatus(
                node=short(node),
                profile=node.profile,
                address=str(told.get("NodeManagerAddress", "")),
                measuring=_measuring(ray, node.name),
            )
        )
    return sorted(status, key=lambda one: (one.profile, one.node))


def _measuring(ray: Any, node: str) -> str | None:
    """What the node's station has under way; None too where it has no station, or a dead one."""
    try:
        station = ray.get_actor(f"station-{node}", namespace=NAMESPACE)
        answer = ray.get(station.under_way.remote(), timeout=ANSWER_LIMIT_S)
    except (ValueError, ray.exceptions.RayError):
        return None
    return None if answer is None else str(answer)
