"""``deploybench bundle``: a folder that serves an artifact as it was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import cell_options, parse
from deploybench.cli.guard import guarded, say


@guarded
def bundle(
    artifact: Annotated[
        str | None,
        typer.Argument(help="An artifact: its short name (resnet18/onnx) or its folder."),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder to write: new, or empty.")
    ] = Path("bundle"),
    record: Annotated[
        list[Path] | None,
        typer.Option(
            "--record",
            help="Records that go along: of deploybench run, evaluate; repeatable. The first one "
            "of run says which artifact, runner and options.",
        ),
    ] = None,
    runner: Annotated[
        str | None, typer.Option("--runner", "-r", help="[default: the format's own]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="[default: the artifact's own]")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="Images a call. [default: 1]")
    ] = None,
    threads: parse.ThreadsOption = None,
    spinning: cell_options.SpinningOption = "default",
    arena: cell_options.ArenaOption = "on",
    graph_level: cell_options.GraphLevelOption = "all",
    openvino_hint: cell_options.OpenVinoHintOption = "latency",
    memory_format: cell_options.MemoryFormatOption = "default",
    allocator: cell_options.AllocatorOption = "default",
    huge_pages: cell_options.HugePagesOption = "default",
    force: Annotated[
        bool, typer.Option("--force", help="Replace a bundle that is in the folder.")
    ] = False,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
) -> None:
    """Write a folder that serves an artifact as it was measured: model, serve.py, requirements,
    Dockerfile, measurements, model card."""
    from deploybench.bundle.request import BundleRequest, carry_out_bundle
    from deploybench.cli.typed import typed_with

    request = BundleRequest(
        artifact=artifact,
        folder=output,
        records=record or (),
        runner=runner,
        precision=precision,
        batch=batch,
        threads=threads,
        options=cell_options.read(
            spinning=spinning,
            arena=arena,
            graph_level=graph_level,
            openvino_hint=openvino_hint,
            memory_format=memory_format,
            allocator=allocator,
            huge_pages=huge_pages,
        ),
        force=force,
        trust=trust,
        typed_with_trust=typed_with("--trust"),
        workspace=workspace,
    )
    written = carry_out_bundle(request)
    for line in written.lines:
        say(line)
