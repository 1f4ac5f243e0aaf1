"""``deploybench results``: many results at once; nothing is measured."""

from __future__ import annotations

import contextlib
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say, say_aside
from deploybench.cli.places import places_of, tell_problems
from deploybench.cli.results_history import history
from deploybench.cli.results_import import import_results
from deploybench.errors import EXIT_SOME_FAILED, DeployBenchError
from deploybench.plurals import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploybench.archive.database import Limits
    from deploybench.archive.places import Place

app = typer.Typer(
    help="Query, pack, compare, import and follow many results: deploybench results query SQL.",
    rich_markup_mode=None,
    no_args_is_help=True,
)

FromOption = Annotated[
    list[str] | None,
    typer.Option(
        "--from",
        help="A folder of records, a pack, or a URL (s3://, gs://); repeatable. [default: the "
        "workspace's records and what was imported into it]",
    ),
]
MemoryOption = Annotated[
    float, typer.Option("--memory-limit", min=0.1, help="Of the database, in GiB.")
]
TimeOption = Annotated[
    str, typer.Option("--time-limit", help="After which the database gives up: 60s.")
]
LimitOption = Annotated[
    int, typer.Option("--limit", min=1, help="Rows of a table; JSON and CSV have all.")
]


@app.callback()
def prepare(context: typer.Context) -> None:
    """Make the process of any of these commands quick."""
    from deploybench.archive.extra import leave_pandas_out

    if context.invoked_subcommand == "import":
        return  # it needs none of the extra
    with contextlib.suppress(DeployBenchError):
        leave_pandas_out()  # without the extra the command itself says what is missing


@app.command("query")
@guarded
def query(
    sql: Annotated[
        str, typer.Argument(help='One SELECT: "SELECT model, runner, p50_ms FROM rows"')
    ],
    places: FromOption = None,
    limit: LimitOption = 100,
    memory_limit: MemoryOption = 2.0,
    time_limit: TimeOption = "60s",
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """SQL over results: the views rows, quality and imported; "DESCRIBE rows" lists the columns."""
    import sys

    from deploybench.archive import query as querying
    from deploybench.report.printing import print_report
    from deploybench.report.results_table import query_report
    from deploybench.report.streamed import stream_csv, stream_json
    from deploybench.report.table import Format

    asked = parse.output_format(table_format, json=json, markdown=markdown, csv=csv)
    limits = _limits(memory_limit, time_limit)
    with querying.query(sql, places_of(places, workspace), limits) as answer:
        if asked is Format.JSON:
            stream_json(answer.columns, answer.rows, sys.stdout)
        elif asked is Format.CSV:
            stream_csv(answer.columns, answer.rows, sys.stdout)
        else:
            rows = list(islice(answer.rows, limit))
            more = next(answer.rows, None) is not None
            print_report(query_report(answer.columns, rows, more), asked)
        tell_problems(answer.problems)


@app.command("compare")
@guarded
def compare(
    baseline: Annotated[str, typer.Argument(help="A folder of records, a pack, or a URL.")],
    candidate: Annotated[
        str | None, typer.Argument(help="The same. [default: the baseline's place]")
    ] = None,
    baseline_where: Annotated[
        str,
        typer.Option("--baseline-where", help="Which of its records: \"run = '20261127-…'\"."),
    ] = "true",
    candidate_where: Annotated[
        str, typer.Option("--candidate-where", help="The same of the candidate.")
    ] = "true",
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", help="Compare unlike records: host, version, environment, all."),
    ] = None,
    margin: Annotated[
        str, typer.Option("--margin", help="Cells within this of each other are the SAME.")
    ] = "2%",
    run_shift: parse.RunShiftOption = None,
    limit: LimitOption = 50,
    memory_limit: MemoryOption = 1.0,
    time_limit: TimeOption = "60s",
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Compare thousands of cells of two sets of runs, or a million: counts, and the largest
    changes."""
    import sys

    from deploybench.archive.comparing import BulkRequest, compare_in_bulk
    from deploybench.report.printing import print_report
    from deploybench.report.results_table import bulk_report
    from deploybench.report.streamed import stream_csv, stream_json
    from deploybench.report.table import Format

    asked = parse.output_format(table_format, json=json, markdown=markdown, csv=csv)
    first, second = _both(baseline, candidate)
    request = BulkRequest(
        baseline=[first],
        candidate=[second],
        baseline_where=baseline_where,
        candidate_where=candidate_where,
        margin=parse.percent(margin, "--margin"),
        run_shift=None if run_shift is None else parse.percent(run_shift, "--run-shift"),
        allowed=_allowed(parse.split_names(allow)),
        limits=_limits(memory_limit, time_limit),
    )
    with compare_in_bulk(request, say_aside) as found:
        if asked in (Format.JSON, Format.CSV):
            lines = found.lines()
            columns = found.columns
            rows = ([line[name] for name in columns] for line in lines)
            write = stream_json if asked is Format.JSON else stream_csv
            write(columns, rows, sys.stdout)
        else:
            largest = list(found.lines(limit, by_change=True))
            print_report(bulk_report(found, largest, margin), asked)
        tell_problems(found.problems)
        if not found.statuses["compared"]:
            raise DeployBenchError(
                f"none of {counted(found.statuses.total(), 'cell')} could be compared",
                expected="the same cell with a number on both sides; the lines say what is missing",
                action="--allow NAMES compares unlike records",
            )


@app.command("pack")
@guarded
def pack(
    folder: Annotated[str, typer.Argument(help="A folder of records, or a URL of one.")],
    out: Annotated[str, typer.Option("--out", "-o", help="The pack: a folder or a URL.")],
    incomplete: Annotated[
        bool,
        typer.Option(
            "--incomplete", help="Also records of runs that were interrupted, as they are."
        ),
    ] = False,
) -> None:
    """Pack records into Parquet by profile and month; packing again adds what is new.

    Exit 1 where a file was left out.
    """
    from deploybench.archive.packing import pack_results
    from deploybench.archive.places import place_of

    done = pack_results(place_of(folder), place_of(out), incomplete=incomplete)
    parts = counted(done.parts, "part")
    known = f"; {counted(done.known, 'record')} were packed before" if done.known else ""
    say(f"{counted(done.added, 'record')} packed into {out} in {parts}{known}")
    if done.incomplete:
        say(
            f"{counted(done.incomplete, 'record')} left out: a run is under way, or was "
            f"interrupted; --incomplete packs them as they are"
        )
    tell_problems(done.left_out)
    if done.left_out:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command("unpack")
@guarded
def unpack(
    packed: Annotated[str, typer.Argument(help="A pack: a folder or a URL.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write records into.")],
) -> None:
    """Give the records of a pack back as they were: the same files, byte for byte."""
    from deploybench.archive.packing import unpack_results
    from deploybench.archive.places import place_of

    written, there = unpack_results(place_of(packed), out)
    also = f"; {there} were there already" if there else ""
    say(f"{counted(written, 'record')} written to {out}{also}")


@app.command("keep")
@guarded
def keep(
    baseline: Annotated[
        str, typer.Argument(help="The baseline: a folder, or a URL such as s3://BUCKET/main.")
    ],
    run: Annotated[
        str | None, typer.Argument(help="A run's name or folder. [default: the latest run]")
    ] = None,
    runs: Annotated[
        int, typer.Option("--runs", min=1, help="How many runs of each cell stay; the oldest go.")
    ] = 8,
    artifacts: Annotated[
        bool,
        typer.Option(
            "--artifacts/--no-artifacts",
            help="Also what was measured, so that the gate can measure it again.",
        ),
    ] = True,
    workspace: parse.WorkspaceOption = None,
) -> None:
    """Keep a run's records and artifacts as the baseline of deploybench gate."""
    from collections import Counter

    from deploybench.archive.places import MOST_BYTES, place_of
    from deploybench.cli.sources import records_of
    from deploybench.gating.keeping import keep_baseline
    from deploybench.results.verdict import Verdict

    records = records_of(run, workspace)
    done = keep_baseline(
        records, place_of(baseline), workspace, runs=runs, with_artifacts=artifacts
    )
    verdicts = Counter(record.judgement.verdict.value for record in records)
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
    say(
        f"{counted(done.records, 'record')} kept in {baseline} ({told}), with "
        f"{counted(done.artifacts, 'new artifact')}"
    )
    doubtful = sum(verdicts.values()) - verdicts[Verdict.VALID.value]
    if doubtful:
        say_aside(
            f"of {counted(doubtful, 'record')} the time is not known well enough to be judged by "
            f"another day's: gate --rerun-baseline measures both again"
        )
    if done.records_removed:
        say(f"{counted(done.records_removed, 'older record')} removed from it")
    if done.without_artifact:
        say_aside(
            f"of {counted(done.without_artifact, 'record')} the artifact is not at hand: the gate "
            f"cannot measure it again"
        )
    if done.too_large:
        say_aside(
            f"of {counted(done.too_large, 'record')} the artifact was not kept, for a file of more "
            f"than {MOST_BYTES >> 20} MiB: the gate cannot measure it again"
        )


def _both(baseline: str, candidate: str | None) -> tuple[Place, Place]:
    from deploybench.archive.places import place_of

    first = place_of(baseline)
    if candidate is None or candidate == baseline:
        return first, first
    return first, place_of(candidate)


def _allowed(names: Sequence[str]) -> frozenset[str]:
    from deploybench.archive.both_sides import UNLIKE
    from deploybench.errors import unknown_name

    for name in names:
        if name not in (*UNLIKE, "all"):
            raise unknown_name("kind of difference", name, (*UNLIKE, "all"))
    if "all" in names:
        return frozenset(UNLIKE)
    return frozenset(names)


def _limits(memory_gib: float, time: str) -> Limits:
    from deploybench.archive.database import Limits

    return Limits(memory_gib=memory_gib, time_s=parse.seconds(time, "--time-limit"))


app.command("history")(history)
app.command("import")(import_results)
