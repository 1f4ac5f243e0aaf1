"""``deploybench results import``: what other tools measured, marked as theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say_aside
from deploybench.cli.places import imported_folder, tell_problems
from deploybench.errors import EXIT_SOME_FAILED, DeployBenchError

if TYPE_CHECKING:
    from deploybench.archive.importing import Written


@guarded
def import_results(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="benchmark.json, benchmark_report.csv or .json, times.json of trtexec "
            "--exportTimes, mlperf_log_summary.txt or mlperf_log_detail.txt."
        ),
    ],
    source_format: Annotated[
        str,
        typer.Option("--format", help="auto, optimum-benchmark, benchmark-app, trtexec or mlperf."),
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Where to write. [default: the workspace's folder imported]"
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Which model it was, where the file is silent.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option("--batch", min=1, help="The same of the images in a call.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="The same of the device: cpu, gpu.")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="The same of the precision: fp32, fp16.")
    ] = None,
    workspace: parse.WorkspaceOption = None,
    json: parse.JsonOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Import what other tools measured; it is marked as theirs, and never ranked with records.

    Exit 1 where a file was refused and another was not.
    """
    from deploybench.archive.importing import import_file, write_imported
    from deploybench.archive.peers.source import Said
    from deploybench.files import from_here
    from deploybench.report.imported_table import imported_report
    from deploybench.report.printing import print_report

    # --format is that of the files here.
    asked = parse.output_format(None, json=json, markdown=markdown)
    folder = out or imported_folder(workspace)
    said = Said(model=model, batch=batch, device=device, precision=precision)
    written: list[Written] = []
    problems: list[DeployBenchError] = []
    for path in files:
        try:
            written += write_imported(import_file(path, source_format, said), folder)
        except DeployBenchError as error:
            problems.append(error)
    if not written:
        tell_problems(problems[:-1])
        raise problems[-1]
    print_report(imported_report([one.result for one in written]), asked)
    for one in written:
        if one.how == "known":
            say_aside(f"{from_here(one.path)} was imported before")
        elif one.how == "replaced":
            say_aside(f"replaced {from_here(one.path)}")
        else:
            say_aside(f"wrote {from_here(one.path)}")
    tell_problems(problems)
    if problems:
        raise typer.Exit(EXIT_SOME_FAILED)
