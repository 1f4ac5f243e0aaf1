"""Which kind of cluster ``deploybench fleet run`` drives."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.cli import parse

if TYPE_CHECKING:
    from deploybench.fleet.driving import Cluster
    from deploybench.fleet.request import Clusters
    from deploybench.fleet.ticket import Answer, Ticket

KINDS = ("ray", "slurm", "local")


def clusters_for(submit: str, address: str, slurm: list[str], workspace: Path | None) -> Clusters:
    """What makes the cluster, once the tickets are known.

    Raises DeployBenchError where there is none, before anything is planned.
    """
    kind = parse.choice(submit, "--submit", KINDS)
    if kind == "ray":
        from deploybench.fleet.ray_cluster import RayCluster, connect

        ray = connect(address_here(address))

        def of_ray(tickets: dict[str, Ticket], paths: dict[str, Path]) -> Cluster[Answer]:
            return RayCluster(ray, tickets, paths)

        return of_ray
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.fleet.jobs_cluster import JobsCluster, read_options, submitit_module

    submitit_module()
    options = read_options(slurm)
    folder = open_workspace(workspace).root / "fleet" / "jobs"

    def of_jobs(tickets: dict[str, Ticket], paths: dict[str, Path]) -> Cluster[Answer]:
        return JobsCluster(kind, folder, tickets, paths, options)

    return of_jobs


def address_here(address: str) -> str:
    """The cluster's address; ``auto`` is that of the node that was started here last, if any."""
    from deploybench.fleet.nodes import nodes_here

    if address != "auto":
        return address
    nodes = nodes_here()
    return nodes[-1].address if nodes else address
