"""``deploybench show``: print a finished run again; nothing is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say_aside


@guarded
def show(
    run: Annotated[
        str | None,
        typer.Argument(help="A run's name or folder, or a record. [default: the latest run]"),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Runner to compare the others with. [default: the run's]"),
    ] = None,
    margin: parse.MarginOption = "2%",
    svg: Annotated[
        Path | None,
        typer.Option(
            "--svg",
            help="Also write a picture of it into this folder, for light and for dark pages.",
        ),
    ] = None,
    workspace: parse.WorkspaceOption = None,
    details: parse.DetailsOption = False,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
) -> None:
    """Print the answer and the table of an earlier run from its records.

    Of one record also how its times are spread, and how they went on.
    """
    from deploybench.cli.sources import (
        imported_of,
        other_runs,
        records_of,
        timed_records,
        with_known_qualities,
    )
    from deploybench.files import from_here
    from deploybench.report.another_run_text import another_run_sections
    from deploybench.report.imported_table import imported_report, imported_table
    from deploybench.report.printing import print_report
    from deploybench.report.quality_table import quality_report
    from deploybench.report.run_report import run_report
    from deploybench.report.trace_text import trace_sections
    from deploybench.results.store import ImportedError, timed

    asked = parse.output_format(table_format, json=json, csv=csv)
    share = parse.percent(margin, "--margin")
    imported = imported_of(run, workspace)
    try:
        records = records_of(run, workspace)
    except ImportedError:
        if not imported:
            raise
        print_report(imported_report(imported), asked)
        return
    if timed(records):
        records = with_known_qualities(records, workspace)
        report = run_report(records, baseline=baseline, margin=share, details=details)
        if len(records) == 1:
            # One record alone: there is room to see its times.
            (record,) = records
            others = other_runs(records, workspace, None).records
            seen = (*another_run_sections(record, others), *trace_sections(record))
            report = replace(report, sections=(*report.sections, *seen))
    else:
        report = quality_report(records, timed_records(workspace), details=details)
    if imported:
        # Beside the records, and in no row of theirs.
        report = replace(report, sections=(*report.sections, imported_table(imported)))
    print_report(report, asked)
    if svg is not None:
        from deploybench.report.svg import write_svgs

        for path in write_svgs(report, svg):
            say_aside(f"wrote {from_here(path)}")
