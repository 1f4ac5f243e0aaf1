"""A fleet run by one call: the cells of a run, measured on the nodes that carry their profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from filelock import FileLock, Timeout

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace, open_workspace
from deploybench.contracts.registry import recorded_distributions
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.export.order import export_requests
from deploybench.export.pipeline import ExportOptions, default_jobs
from deploybench.fleet.driving import Cluster, Watching, drive
from deploybench.fleet.journal import FOLDER, Journal, Past, Plan, fleet_runs
from deploybench.fleet.placement import PATIENCE_S, Assignment, GivenUp, Lost, Placement, Task
from deploybench.fleet.planning import (
    Tickets,
    Wanted,
    built_on_target,
    entries_of,
    place_of,
    plan_tickets,
)
from deploybench.fleet.recording import Records
from deploybench.fleet.ticket import Answer, Look, Ticket
from deploybench.hardware.host import describe_host, usable_cores
from deploybench.models.source import expand_groups, expand_patterns
from deploybench.plan.cells import NO_OPTIONS, Planned, Selection, Sizes
from deploybench.plan.consent import check_planned, trusting_command
from deploybench.plan.selection import select_artifacts
from deploybench.results.cell import TIMINGS, CellOptions
from deploybench.results.record import Record
from deploybench.results.store import new_run_name
from deploybench.results.verdict import Verdict
from deploybench.runs.missing import missing_exports
from deploybench.stacks.stack import PRESENT

LATEST = "latest"
Clusters: TypeAlias = Callable[[dict[str, Ticket], dict[str, Path]], Cluster[Answer]]
"""Makes the cluster that measures these tickets, with these files."""


@dataclass(frozen=True)
class FleetRequest:
    """What is to be measured, where, and how long to look.

    As a :class:`~deploybench.runs.request.RunRequest`; ``profiles`` are names or TOML files, and
    each cell is measured on a node of each. ``resume`` names a fleet run to go on with (``latest``:
    the newest); everything else but the workspace is then as it was. ``build`` are the formats that
    a node makes itself, beside those that fit one machine only. ``patience_s`` is how long to wait
    for a node of a profile that none carries.
    """

    profiles: Sequence[str] = ()
    models: Sequence[str] = ()
    artifacts: Sequence[Path] = ()
    runners: Sequence[str] = ()
    precisions: Sequence[str] = ()
    batches: Sequence[int] = (1,)
    streams: Sequence[int] = (1,)
    timings: Sequence[str] = (TIMINGS[0],)
    skip: Sequence[str] = ()
    build: Sequence[str] = ()
    options: CellOptions = NO_OPTIONS
    environments: Sequence[str] = ()
    look: Look = field(default_factory=Look)
    resume: str | None = None
    patience_s: float = PATIENCE_S
    trust: bool = False
    workspace: Path | None = None


@dataclass(frozen=True)
class FleetPlanned:
    """So many cells for a fleet run of that name, of which so many have records already."""

    fleet: str
    cells: int
    done: int


@dataclass(frozen=True)
class CellStarted:
    """A cell is measured on that node now."""

    ticket: Ticket
    assignment: Assignment


@dataclass(frozen=True)
class CellLost:
    """An attempt came to nothing; it is tried elsewhere or ends as a row."""

    lost: Lost


@dataclass(frozen=True)
class CellRecorded:
    """The record of a cell lies on disk."""

    ticket: Ticket
    record: Record
    left: int


FleetEvent = FleetPlanned | CellStarted | CellLost | CellRecorded
Tell = Callable[[FleetEvent], None]


@dataclass(frozen=True)
class FleetResult:
    """The records of all cells in the order of the plan; they lie in ``folders``, one a profile."""

    fleet: str
    folders: tuple[Path, ...]
    records: tuple[Record, ...]

    @property
    def failed(self) -> bool:
        """Whether any cell broke or computed something wrong."""
        bad = (Verdict.FAILED, Verdict.INVALID)
        return any(record.judgement.verdict in bad for record in self.records)


def carry_out_fleet(
    request: FleetRequest, clusters: Clusters, on_event: Tell | None = None
) -> FleetResult:
    """Measure every cell on a node that carries its profile; every cell ends as a record.

    The driver may be killed at any moment: the same call with ``resume`` goes on, and measures
    nothing twice. Raises DeployBenchError for what cannot be planned, before anything starts, and
    where another driver of the same fleet run is alive.
    """
    tell = on_event or (lambda event: None)
    workspace = open_workspace(request.workspace)
    workspace.prepare()
    name = request.resume or new_run_name()
    if name == LATEST:
        name = _latest(workspace)
    journal = Journal(workspace.root / FOLDER / name)
    if request.resume is None:
        planned = _planned(name, request, workspace)
        paths = {sha256: str(path.resolve()) for sha256, path in planned.paths.items()}
        plan = Plan(fleet=name, created=now(), tickets=tuple(planned.tickets), paths=paths)
        journal.begin(plan)
    else:
        plan = journal.plan()
    try:
        with FileLock(journal.lock, timeout=0):
            return _driven(plan, journal, workspace, request.patience_s, clusters, tell)
    except Timeout:
        raise DeployBenchError(
            f"another process drives the fleet run {name}",
            expected="one driver",
            action="wait for it, or end it first",
        ) from None


def _latest(workspace: Workspace) -> str:
    names = fleet_runs(workspace.root)
    if not names:
        raise DeployBenchError(
            f"the workspace {workspace.root} has no fleet run to resume",
            action="deploybench fleet run begins one",
        )
    return names[-1]


def _planned(name: str, request: FleetRequest, workspace: Workspace) -> Tickets:
    """The tickets; what the named models lack is exported first."""
    if not request.profiles:
        raise DeployBenchError(
            "no profile", expected="--profile with the names that the nodes carry: xeon,rtx3090"
        )
    wanted = Wanted(
        places=[place_of(asked) for asked in dict.fromkeys(request.profiles)],
        runners=request.runners,
        precisions=request.precisions,
        batches=request.batches,
        streams=request.streams,
        timings=request.timings,
        skip=expand_patterns(request.skip),
        build=sorted({*built_on_target(), *request.build}),
        options=request.options,
        environments=tuple(request.environments) or (PRESENT,),
    )
    models = expand_groups(request.models)
    if not request.artifacts:
        _export_missing(models, wanted, request, workspace)
    artifacts = select_artifacts(workspace, models, request.artifacts, Sizes(), explained=False)
    planned = plan_tickets(name, artifacts, wanted, request.look, workspace.root / FOLDER / "packs")
    _check_consent(planned, artifacts, request)
    return planned


def _export_missing(
    models: Sequence[str], wanted: Wanted, request: FleetRequest, workspace: Workspace
) -> None:
    """Export what travels and is not in the workspace. Raises the error of an export that fails:
    nothing was measured by then."""
    requests = []
    for place in wanted.places:
        selection = Selection(
            runners=entries_of(wanted, place),
            batches=wanted.batches,
            precisions=wanted.precisions,
            threads=request.look.threads or usable_cores(),
            devices=[place.device],
        )
        for missing in missing_exports(models, workspace, selection, Sizes(), place.profile):
            if missing.backend not in wanted.build and missing not in requests:
                requests.append(missing)
    if not requests:
        return
    options = ExportOptions(jobs=default_jobs())
    for result in export_requests(requests, workspace, options, lambda event: None):
        if result.artifact is None and result.error is not None:
            raise result.error


def _check_consent(planned: Tickets, artifacts: Sequence[Artifact], request: FleetRequest) -> None:
    """Whoever drives answers for the code that the nodes run, as for a run on this machine."""
    by_path = {str(artifact.path): artifact for artifact in artifacts}
    cells = []
    for ticket in planned.tickets:
        if ticket.cell.artifact is not None:
            cells.append(Planned(ticket.cell, by_path[ticket.cell.artifact], None))
    command = trusting_command("fleet run", request.artifacts, workspace=request.workspace)
    check_planned(cells, trust=request.trust, command=command)


def _driven(
    plan: Plan,
    journal: Journal,
    workspace: Workspace,
    patience_s: float,
    clusters: Clusters,
    tell: Tell,
) -> FleetResult:
    tickets = {ticket.name: ticket for ticket in plan.tickets}
    here = describe_host(recorded_distributions())
    records = Records(workspace.records_folder, plan.fleet, here)
    past = journal.past()
    present = records.present(tickets)
    done = {}
    for name, record in present.items():
        # What was given up is tried again: a node may have come since.
        if name not in past.given_up or record.command != records.again:
            done[name] = record
    tell(FleetPlanned(plan.fleet, len(tickets), len(done)))
    open_tickets = {name: ticket for name, ticket in tickets.items() if name not in done}
    if open_tickets:
        paths = {sha256: Path(path) for sha256, path in plan.paths.items()}
        cluster = clusters(open_tickets, paths)
        placement = _placement(open_tickets, past, patience_s)
        _take_up(placement, cluster, open_tickets, past)
        watching = _watching(open_tickets, journal, records, done, placement, tell)
        drive(placement, cluster, watching)
    folders = dict.fromkeys(records.folder_of(ticket) for ticket in tickets.values())
    return FleetResult(plan.fleet, tuple(folders), tuple(done[name] for name in tickets))


def _placement(tickets: dict[str, Ticket], past: Past, patience_s: float) -> Placement:
    tasks = [
        Task(ticket.name, ticket.profile, _expected_s(ticket), ticket.look.limit_s)
        for ticket in tickets.values()
    ]
    return Placement(tasks, patience_s=patience_s, earlier=past.causes)


def _expected_s(ticket: Ticket) -> float:
    """About how long a cell takes: its budget, and longer where it has to be built first."""
    building_s = 120.0 if ticket.built is not None else 0.0
    return ticket.look.budget_s + building_s


def _take_up(
    placement: Placement, cluster: Cluster[Answer], tickets: dict[str, Ticket], past: Past
) -> None:
    """Ask the nodes that live for what an earlier driver had started on them.

    They have the answer, or are measuring it: asked again, a node does not begin anew.
    """
    nodes = {node.name: node for node in cluster.nodes()}
    taken = set()
    for name, node in past.started.items():
        if name in tickets and node in nodes and node not in taken:
            taken.add(node)
            ticket = tickets[name]
            task = Task(name, ticket.profile, _expected_s(ticket), ticket.look.limit_s)
            cluster.start(placement.adopt(task, nodes[node], cluster.now_s()))


def _watching(
    tickets: dict[str, Ticket],
    journal: Journal,
    records: Records,
    done: dict[str, Record],
    placement: Placement,
    tell: Tell,
) -> Watching[Answer]:
    """Keeps what happens: first on the disk, then for whoever looks on."""

    def started(assignment: Assignment) -> None:
        journal.note("started", assignment.task.name, node=assignment.node.name)
        tell(CellStarted(tickets[assignment.task.name], assignment))

    def finished(assignment: Assignment, answer: Answer) -> None:
        ticket = tickets[assignment.task.name]
        done[ticket.name] = records.keep_answer(ticket, answer)
        tell(CellRecorded(ticket, done[ticket.name], placement.unfinished - 1))

    def lost(event: Lost) -> None:
        journal.note("lost", event.task.name, node=event.node.name, cause=event.cause)
        tell(CellLost(event))

    def given_up(event: GivenUp) -> None:
        ticket = tickets[event.task.name]
        done[ticket.name] = records.keep_given_up(ticket, event)
        journal.note("given up", ticket.name)
        tell(CellRecorded(ticket, done[ticket.name], placement.unfinished))

    return Watching(finished, given_up, started, lost)
