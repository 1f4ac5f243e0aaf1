"""``deploybench fleet``: the same cells on many machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import cell_options, parse
from deploybench.cli.guard import guarded, say, say_aside
from deploybench.plurals import counted

if TYPE_CHECKING:
    from deploybench.fleet.request import FleetEvent

app = typer.Typer(
    no_args_is_help=True,
    help="Measure the same cells on many machines: nodes carry their profile, one cell at a time.",
)
AddressOption = Annotated[
    str, typer.Option("--address", help="HOST:PORT of the cluster; auto: that of this machine.")
]


@app.command("start-node")
@guarded
def start_node(
    profile: Annotated[
        str,
        typer.Option(
            "--profile",
            "-p",
            help="What this machine is: a name, FILE.toml, host; auto finds it; none: it drives "
            "and does not measure.",
        ),
    ] = "auto",
    address: Annotated[
        str | None,
        typer.Option("--address", help="HOST:PORT of a cluster to join. [default: begin one]"),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="The address to listen on; others reach the node by it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, help="Of a cluster that begins.")] = 6379,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Folder of what comes to the node. [default: in ~/.cache]"),
    ] = None,
) -> None:
    """Make this machine a node that carries its profile and measures one cell at a time."""
    from deploybench.contracts.registry import recorded_distributions
    from deploybench.fleet import nodes
    from deploybench.fleet.ray_start import LOCALHOST
    from deploybench.hardware.host import describe_host

    request = nodes.NodeRequest(profile, address, host, port, cache)
    node = nodes.start_node(request, describe_host(recorded_distributions()))
    role = f"measures as {node.profile}"
    if node.profile == nodes.NONE:
        role = "drives, and does not measure"
    say(f"node of {node.address}: process {node.process}, {role}")
    if host != LOCALHOST:
        say_aside(
            f"it listens on {host}: whoever reaches that address can run code here, as with every "
            "Ray cluster; keep it to a network of people who trust each other"
        )


@app.command("stop")
@guarded
def stop() -> None:
    """End the nodes that were started on this machine by this user, and nothing else."""
    from deploybench.fleet.nodes import nodes_here, stop_nodes

    nodes = nodes_here()
    stop_nodes(nodes)
    say(f"{counted(len(nodes), 'node')} ended")


@app.command("status")
@guarded
def status(
    address: AddressOption = "auto",
    json: parse.JsonOption = False,
) -> None:
    """Show the nodes of a cluster, their profiles, and what each measures."""
    from deploybench.cli.fleet_clusters import address_here
    from deploybench.fleet.ray_cluster import connect
    from deploybench.fleet.status import status_of
    from deploybench.report.fleet_table import NodeRow, nodes_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(None, json=json)
    nodes = status_of(connect(address_here(address)))
    rows = [NodeRow(node.node, node.profile, node.address, node.measuring) for node in nodes]
    print_report(nodes_report(rows), asked)


@app.command("run")
@guarded
def run(
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile", "-p", help="Each cell runs on a node of each: xeon,rtx3090,FILE.toml."
        ),
    ] = None,
    model: parse.ModelsOption = None,
    artifact: parse.ArtifactOption = None,
    runner: Annotated[
        list[str] | None,
        typer.Option("--runner", "-r", help="[default: all for the profile's device]"),
    ] = None,
    precision: parse.PrecisionsOption = None,
    batch: Annotated[str, typer.Option("--batch", help="Batch sizes: 1,8,32.")] = "1",
    threads: parse.ThreadsOption = None,
    precision_target: Annotated[
        str, typer.Option("--precision-target", help="Look until every interval is this narrow.")
    ] = "1%",
    budget: Annotated[str, typer.Option("--budget", help="Time for a cell.")] = "60s",
    rounds: parse.RoundsOption = None,
    duration: Annotated[
        str | None, typer.Option("--duration", help="Sampling time of one look: 2s.")
    ] = None,
    min_samples: parse.MinSamplesOption = 20,
    cuda_graph: cell_options.CudaGraphOption = False,
    spinning: cell_options.SpinningOption = "default",
    arena: cell_options.ArenaOption = "on",
    graph_level: cell_options.GraphLevelOption = "all",
    openvino_hint: cell_options.OpenVinoHintOption = "latency",
    memory_format: cell_options.MemoryFormatOption = "default",
    allocator: cell_options.AllocatorOption = "default",
    huge_pages: cell_options.HugePagesOption = "default",
    convolutions: cell_options.ConvolutionsOption = "searched",
    environment: cell_options.EnvironmentOption = None,
    skip: parse.SkipOption = None,
    seed: parse.SeedOption = 0,
    build: Annotated[
        list[str] | None,
        typer.Option(
            "--build",
            help="Formats that each node makes itself, beside those that fit one machine only.",
        ),
    ] = None,
    address: AddressOption = "auto",
    submit: Annotated[
        str,
        typer.Option(
            "--submit", help="ray; slurm: a job for each cell; local: processes of this machine."
        ),
    ] = "ray",
    slurm: Annotated[
        list[str] | None,
        typer.Option(
            "--slurm",
            help="What a profile's jobs ask of Slurm: rtx3090:partition=gpu,gres=gpu:rtx3090:1.",
        ),
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", help="For a node of a profile that none carries.")
    ] = "60s",
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", help="Go on with this fleet run (latest: the newest), as it was begun."
        ),
    ] = None,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
    details: parse.DetailsOption = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
) -> None:
    """Measure cells on the nodes that carry their profiles; nothing is measured twice."""
    from deploybench.cli.fleet_clusters import clusters_for
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.fleet.request import FleetRequest, carry_out_fleet
    from deploybench.fleet.ticket import Look
    from deploybench.report.console import remark
    from deploybench.report.fleet_table import cells_report
    from deploybench.report.printing import print_report
    from deploybench.runs.request import FINEST_PRECISION

    asked = parse.output_format(table_format, json=json, csv=csv)
    look = Look(
        precision_target=parse.percent(
            precision_target, "--precision-target", least=FINEST_PRECISION
        ),
        budget_s=parse.seconds(budget, "--budget"),
        rounds=rounds,
        duration_s=None if duration is None else parse.seconds(duration, "--duration"),
        min_samples=min_samples,
        threads=threads,
        seed=seed,
    )
    request = FleetRequest(
        profiles=parse.split_names(profile),
        models=parse.model_names(model),
        artifacts=artifact or (),
        runners=parse.split_names(runner),
        precisions=parse.precisions(precision),
        batches=parse.positive_numbers(batch, "--batch"),
        skip=parse.split_names(skip),
        build=parse.split_names(build),
        options=cell_options.read(
            cuda_graph=cuda_graph,
            spinning=spinning,
            arena=arena,
            graph_level=graph_level,
            openvino_hint=openvino_hint,
            memory_format=memory_format,
            allocator=allocator,
            huge_pages=huge_pages,
            convolutions=convolutions,
        ),
        environments=parse.split_names(environment),
        look=look,
        resume=resume,
        patience_s=parse.seconds(wait, "--wait"),
        trust=trust,
        workspace=workspace,
    )
    result = carry_out_fleet(request, clusters_for(submit, address, slurm or [], workspace), _tell)
    print_report(cells_report(result.records, details=details), asked)
    for folder in result.folders:
        remark(f"records: {folder}", "dim")
    if result.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _tell(event: FleetEvent) -> None:
    """A line for whatever happens, beside the output."""
    from deploybench.fleet.request import CellLost, CellRecorded, CellStarted, FleetPlanned

    if isinstance(event, FleetPlanned):
        done = f", {event.done} of them done" if event.done else ""
        say_aside(f"fleet run {event.fleet}: {counted(event.cells, 'cell')}{done}")
    elif isinstance(event, CellStarted):
        node = event.assignment.node.name[:12]
        say_aside(f"{event.ticket.cell.title()} on {event.ticket.profile}, node {node}")
    elif isinstance(event, CellLost):
        say_aside(f"lost: {event.lost.task.name}: {event.lost.cause}")
    elif isinstance(event, CellRecorded):
        verdict = event.record.judgement.verdict.value
        title = event.ticket.cell.title()
        say_aside(f"{verdict}: {title} on {event.ticket.profile}; {event.left} to go")
