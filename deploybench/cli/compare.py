"""``deploybench compare``: two runs side by side, or two things within one."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded
from deploybench.cli.sources import other_runs, qualities_of, records_of
from deploybench.plurals import counted


@guarded
def compare(
    baseline: Annotated[
        str, typer.Argument(help="A run's name or folder, a record, or a folder of records.")
    ],
    candidate: Annotated[
        str | None, typer.Argument(help="The same. [default with --across: the baseline]")
    ] = None,
    across: Annotated[
        str | None,
        typer.Option(
            "--across",
            help="Compare two values of a field: runner=onnxruntime,openvino; precision, ...",
        ),
    ] = None,
    allow: parse.AllowOption = None,
    margin: Annotated[
        str, typer.Option("--margin", help="Cells within this of each other are the SAME.")
    ] = "2%",
    accuracy_margin: Annotated[
        str,
        typer.Option(
            "--accuracy-margin",
            help="Accuracies within this of each other are the SAME, in percentage points.",
        ),
    ] = "1%",
    run_shift: parse.RunShiftOption = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Is the candidate faster? Join two runs by cell: speed-up, interval, and FASTER, SLOWER, SAME
    or AMBIGUOUS."""
    from deploybench.analysis.comparison import compare_records
    from deploybench.analysis.matching import read_allowed, read_axis
    from deploybench.analysis.quality_comparison import compare_qualities
    from deploybench.errors import DeployBenchError
    from deploybench.report.comparison_table import comparison_report
    from deploybench.report.printing import print_report
    from deploybench.report.quality_comparison_table import quality_comparison_table
    from deploybench.report.table import Report
    from deploybench.results.store import timed

    asked = parse.output_format(table_format, json=json, markdown=markdown)
    axis = read_axis(across) if across else None
    limit = parse.percent(margin, "--margin")
    points = parse.percent(accuracy_margin, "--accuracy-margin")
    allowed = read_allowed(parse.split_names(allow))
    if candidate is None and axis is None:
        raise DeployBenchError(
            "one run is no comparison",
            expected="BASELINE CANDIDATE, or two things within one run",
            action=f"deploybench compare {baseline} --across runner=onnxruntime,openvino",
        )
    first = records_of(baseline, workspace)
    second = first if candidate is None else records_of(candidate, workspace)
    qualities = compare_qualities(
        qualities_of(first, workspace), qualities_of(second, workspace), axis
    )
    first, second = timed(first), timed(second)
    others = other_runs([*first, *second], workspace, run_shift)
    rows = []
    if first or second or not qualities:
        rows = compare_records(first, second, allowed=allowed, across=axis, others=others)
    report = comparison_report(rows, limit)
    if qualities:
        accuracies = quality_comparison_table(qualities, points)
        sections = (*report.sections, accuracies) if rows else (accuracies,)
        data = [*report.tables[0].data, *accuracies.data]
        report = Report(sections, data)
    print_report(report, asked)
    compared = [row for row in rows if row.ratio is not None]
    if not compared and all(row.difference is None for row in qualities):
        raise DeployBenchError(
            f"none of {counted(len(rows) + len(qualities), 'cell')} could be compared",
            expected="the same cell with a number on both sides; the rows say what is missing or "
            "unlike",
            action="--allow NAMES compares unlike rows; deploybench run measures what is missing",
        )
