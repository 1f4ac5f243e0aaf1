"""``deploybench results history``: cells over time; nothing is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say_aside
from deploybench.cli.places import tell_problems


@guarded
def history(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            help="Folders of records, packs, or URLs. [default: the workspace's records]"
        ),
    ] = None,
    cell: Annotated[
        str | None,
        typer.Option(
            "--cell",
            help='Words of a cell\'s title, profile or host: "vit openvino fp32 batch 1". '
            "[default: all]",
        ),
    ] = None,
    margin: Annotated[
        str, typer.Option("--margin", help="Changes smaller than this are counted, not told.")
    ] = "2%",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Series that are shown.")] = 10,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", help="Also write a picture of it into this folder."),
    ] = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Follow cells over time: since which record each is slower or faster, and what changed beside
    it."""
    from deploybench.archive.history import history_of
    from deploybench.archive.places import place_of
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.files import from_here
    from deploybench.report.history_text import history_report
    from deploybench.report.printing import print_report
    from deploybench.report.table import Format

    asked = parse.output_format(table_format, json=json, markdown=markdown)
    names = places or [str(open_workspace(workspace).records_folder)]
    share = parse.percent(margin, "--margin")
    found = history_of([place_of(name) for name in names], cell, share)
    print_report(history_report(found, None if asked is Format.JSON else limit), asked)
    tell_problems(found.problems)
    if svg is not None:
        from deploybench.report.svg import write_svgs

        for path in write_svgs(history_report(found, limit), svg):
            say_aside(f"wrote {from_here(path)}")
