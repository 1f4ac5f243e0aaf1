"""``deploybench report``: records as one page that a browser opens from disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say_aside

if TYPE_CHECKING:
    from deploybench.archive.imported import Imported
    from deploybench.results.record import Record

DEFAULT_PAGE = Path("report.html")


@guarded
def report(
    records: Annotated[
        list[str] | None,
        typer.Argument(
            help="Runs by name, folders or records; several are put on one page. "
            "[default: the latest run]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write. [default: report.html]"),
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Of the page.")] = "DeployBench report",
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Runner to compare the others with. [default: the run's]"),
    ] = None,
    margin: parse.MarginOption = "2%",
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown", help="Print GitHub-flavoured Markdown instead, for a pull request."
        ),
    ] = False,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", help="Also write each chart into this folder, as SVG."),
    ] = None,
    png: Annotated[
        Path | None,
        typer.Option("--png", help="Also write each chart into this folder, as PNG."),
    ] = None,
    layers: Annotated[
        list[Path] | None,
        typer.Option(
            "--layers",
            help="Documents of deploybench explain, or folders of them. "
            "[default: those beside the records, and of their artifacts in the workspace]",
        ),
    ] = None,
    workspace: parse.WorkspaceOption = None,
) -> None:
    """Write one page of records that a browser opens from disk: the answer, the table, charts."""
    from deploybench.cli.sources import (
        imported_of,
        layers_of,
        records_of,
        with_known_qualities,
    )
    from deploybench.errors import DeployBenchError
    from deploybench.files import from_here, writing_whole
    from deploybench.report.imported_table import imported_table
    from deploybench.report.printing import print_report
    from deploybench.report.run_report import run_report
    from deploybench.report.table import Format
    from deploybench.results.store import ImportedError, timed

    share = parse.percent(margin, "--margin")
    found: list[Record] = []
    imported: list[Imported] = []
    for name in records or ():
        imported += imported_of(name, workspace)
        try:
            found += records_of(name, workspace)
        except ImportedError:
            if not imported:
                raise
    if not records:
        found = records_of(None, workspace)
    found = with_known_qualities(found, workspace)
    if not timed(found):
        raise DeployBenchError(
            "these records hold no cell that was timed",
            expected="records of deploybench run; those of evaluations are shown beside them",
            action="deploybench run",
        )
    if markdown:
        in_words = run_report(found, baseline=baseline, margin=share)
        if imported:
            in_words = replace(in_words, sections=(*in_words.sections, imported_table(imported)))
        print_report(in_words, Format.MARKDOWN)
        if output is None and svg is None and png is None:
            return

    from deploybench.pages.compose import page_of
    from deploybench.pages.html import check_pages_installed, page_html

    check_pages_installed()
    explained = layers_of(found, records or (), layers, workspace)
    page = page_of(
        found,
        title=title,
        baseline=baseline,
        margin=share,
        imported=imported,
        layers=explained,
    )
    if svg is not None or png is not None:
        from deploybench.pages.pictures import write_pictures

        for path in write_pictures(page, svg=svg, png=png):
            say_aside(f"wrote {from_here(path)}")
    if output is None and (svg is not None or png is not None):
        return
    path = output or DEFAULT_PAGE
    with writing_whole(path, "--output") as partial:
        partial.write_text(page_html(page), encoding="utf-8")
    say_aside(f"wrote {from_here(path)} ({path.stat().st_size / 1e6:.1f} MB)")
