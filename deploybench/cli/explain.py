"""``deploybench explain``: where the time of an artifact goes, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say_aside

if TYPE_CHECKING:
    from deploybench.results.explanation import Explanation

EVERY_LAYER = 100_000
"""More modules than a model has that could not be counted: CSV holds them all."""


@guarded
def explain(
    artifact: Annotated[
        str | None,
        typer.Argument(help="An artifact: its short name (resnet18/onnx) or its folder."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="A second one of the same model beside it: an artifact, a runner, a precision.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Instead of an artifact's name.")
    ] = None,
    runner: Annotated[
        str | None, typer.Option("--runner", "-r", help="[default: the format's own]")
    ] = None,
    precision: Annotated[
        str | None, typer.Option("--precision", help="[default: the artifact's own]")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1.")] = "cpu",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images a call.")] = 1,
    threads: parse.ThreadsOption = None,
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth", min=1, help="Name so many parts of a module: 2 is layer1.0. [default: all]"
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", min=1, help="How many modules to print. [default: 15]")
    ] = None,
    duration: Annotated[
        str, typer.Option("--duration", help="Of the calls, for each artifact.")
    ] = "4s",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The document to write, for deploybench report: a name that ends in .layers.json, "
            "or a folder. [default: layers/ in the workspace]",
        ),
    ] = None,
    trust: parse.TrustOption = False,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
) -> None:
    """Show the time of every layer by its runtime's own profiler, beside the MACs of its module."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.cli.typed import typed_with
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.files import from_here
    from deploybench.hardware.devices import read_device
    from deploybench.report.layers_table import explanation_report
    from deploybench.report.printing import print_report
    from deploybench.report.table import Format
    from deploybench.results.explanation import write_explanation
    from deploybench.runs.explaining import ExplainRequest
    from deploybench.runs.explaining import explain as carry_out

    asked = parse.output_format(table_format, json=json, csv=csv)
    _check_name(out)
    request = ExplainRequest(
        artifact=artifact,
        model=model,
        runner=runner,
        precision=precision,
        device=read_device(device),
        batch=batch,
        threads=threads,
        against=against,
        seconds=parse.seconds(duration, "--duration"),
        trust=trust,
        typed_with_trust=typed_with("--trust"),
        workspace=workspace,
    )
    explanation = carry_out(request, lambda waiting: say_aside(waiting.words))
    if asked is Format.CSV and top is None:
        top = len(explanation.work) + EVERY_LAYER
    print_report(explanation_report(explanation, depth=depth, top=top), asked)
    path = _path(explanation, out or open_workspace(workspace).layers_folder)
    write_explanation(explanation, path)
    say_aside(f"wrote {from_here(path)}: deploybench report shows it beside the records")
    if explanation.failed:
        for explained in explanation.sides:
            if explained.profile.failed:
                say_aside(f"{explained.name}: {explained.profile.failed}")
        raise typer.Exit(EXIT_SOME_FAILED)


def _check_name(out: Path | None) -> None:
    """Refuse, before anything is timed, a file that would be taken for a record where those are."""
    from deploybench.errors import DeployBenchError
    from deploybench.files import LAYERS_SUFFIX

    if out is None or out.is_dir() or not out.suffix or out.name.endswith(LAYERS_SUFFIX):
        return
    raise DeployBenchError(
        f"--out {out} would be taken for a record",
        expected=f"a folder, or a name that ends in {LAYERS_SUFFIX}",
        action=f"--out {out.with_suffix('').name}{LAYERS_SUFFIX}",
    )


def _path(explanation: Explanation, out: Path) -> Path:
    """The file itself, or one of a name of its own in the folder."""
    from deploybench.files import LAYERS_SUFFIX
    from deploybench.results.explanation import file_name

    if out.name.endswith(LAYERS_SUFFIX) and not out.is_dir():
        return out
    return out / file_name(explanation)
