"""A process of a node that carries out one ticket: ``python -m deploybench.fleet.worker REPLY``.

It is ``deploybench run`` for one cell: the profile is checked against this machine, the artifact is
unpacked (or built here), parity comes before time. Whoever drives the fleet has answered for the
artifact (it was made there, or trusted there), and its hash came with the ticket.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.pack import read_pack
from deploybench.artifacts.workspace import Workspace
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts.registry import exporters, recorded_distributions
from deploybench.errors import DeployBenchError
from deploybench.export.pipeline import ExportOptions, export_one
from deploybench.files import write_whole
from deploybench.fleet.station import CACHE_VARIABLE, file_in, node_cache, workspace_of
from deploybench.fleet.ticket import Answer, Refusal, Ticket
from deploybench.hardware.devices import CUDA
from deploybench.hardware.gpus import target_of
from deploybench.hardware.host import Host, describe_host
from deploybench.hardware.profile import HOST, check_match, gpu_fits, load_profile
from deploybench.plurals import counted
from deploybench.runs.request import RunRequest, carry_out


def main() -> None:
    """Read a ticket from standard input, write its answer to the path in the first argument."""
    die_with_parent()
    ticket = Ticket.model_validate_json(sys.stdin.read())
    finish(answer(ticket, node_cache()).model_dump_json())


def answer(ticket: Ticket, cache: Path) -> Answer:
    """Carry the ticket out; what the machine or the artifact does not allow is in the answer."""
    host = describe_host(recorded_distributions())
    try:
        return _carried_out(ticket, cache, host)
    except DeployBenchError as error:
        return Answer(ticket=ticket.name, host=host, refusal=Refusal.of(error))


def _carried_out(ticket: Ticket, cache: Path, host: Host) -> Answer:
    profile = _profile(ticket, cache)
    if profile != HOST:
        check_match(load_profile(profile), host)
    workspace = Workspace(workspace_of(cache, ticket))
    workspace.prepare()
    artifact = _artifact(ticket, cache, workspace, host, profile)
    cell, look = ticket.cell, ticket.look
    request = RunRequest(
        artifacts=[artifact.path],
        profile=profile,
        runners=[cell.runner],
        precisions=[cell.precision],
        batches=[cell.batch],
        streams=[cell.streams],
        timings=[cell.timing],
        options=cell.options,
        environments=[cell.options.stack],
        threads=look.threads,
        precision_target=look.precision_target,
        budget_s=look.budget_s,
        rounds=look.rounds,
        launches=look.launches,
        canary=look.canary,
        duration_s=look.duration_s,
        min_samples=look.min_samples,
        seed=look.seed,
        trust=True,
        workspace=workspace.root,
    )
    result = carry_out(request)
    if isinstance(result.cut_short, DeployBenchError):
        raise result.cut_short
    if result.cut_short is not None:
        raise DeployBenchError("the measurement was interrupted on the node")
    if len(result.records) != 1:
        raise DeployBenchError(
            f"the node made {counted(len(result.records), 'record')} of one cell", expected="one"
        )
    return Answer(
        ticket=ticket.name, host=host, record=result.records[0], folder=str(artifact.path)
    )


def _profile(ticket: Ticket, cache: Path) -> str:
    """The profile as a run takes it: a name, or the path of what came with the ticket."""
    if ticket.profile_text is None:
        return ticket.profile
    path = cache / "profiles" / ticket.fleet / f"{ticket.profile}.toml"
    write_whole(path, ticket.profile_text)
    return str(path)


def _artifact(
    ticket: Ticket, cache: Path, workspace: Workspace, host: Host, profile: str
) -> Artifact:
    """The artifact of the ticket, unpacked or built here.

    Raises DeployBenchError where it is not in the pack, or cannot be built.
    """
    if ticket.pack is not None:
        artifacts = read_pack(file_in(cache, ticket.pack), workspace)
        for artifact in artifacts:
            if artifact.manifest.key == ticket.cell.artifact_key:
                return artifact
        raise DeployBenchError(
            f"the pack {ticket.pack.name} does not hold the artifact {ticket.cell.artifact_key}"
        )
    if ticket.built is None:
        raise DeployBenchError("the ticket has neither a pack nor an export")
    request = ticket.built
    if ticket.checkpoint is not None:
        checkpoint = str(file_in(cache, ticket.checkpoint))
        request = request.replaced(model=request.model.replaced(checkpoint=checkpoint))
    entry = exporters().get(request.backend)
    if entry is not None and entry.plugin is not None and entry.plugin.takes_target:
        request = request.replaced(target=_target(host, profile))
    result = export_one(request, workspace, ExportOptions())
    if result.artifact is None:
        raise result.error or DeployBenchError("the export on the node said nothing")
    return result.artifact


def _target(host: Host, profile: str) -> str | None:
    """The kind of this node's GPU: the first that the profile names, else the first."""
    named = None if profile == HOST else load_profile(profile)
    for gpu in host.gpus:
        if named is None or named.device != CUDA or gpu_fits(named, gpu):
            return target_of(gpu.compute_capability)
    return None


if __name__ == "__main__":
    os.environ.setdefault(CACHE_VARIABLE, str(node_cache()))
    main()
