"""``deploybench advise``: which candidate to deploy, from the records at hand. Nothing is measured.

Exit 0: something is known to meet all that was asked; 1: nothing does; 3: it is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import limits, parse
from deploybench.cli.guard import guarded
from deploybench.errors import EXIT_INCONCLUSIVE, EXIT_SOME_FAILED, DeployBenchError, unknown_name

if TYPE_CHECKING:
    from deploybench.analysis.advice import Advice
    from deploybench.analysis.constraints import Constraint
    from deploybench.results.record import Record


@guarded
def advise(
    records: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RECORDS]...",
            help="Runs' names or folders, or records. [default: all of the workspace]",
        ),
    ] = None,
    p50: Annotated[
        str | None, typer.Option("--p50", help="The median call takes at most: 10ms.")
    ] = None,
    p99: Annotated[
        str | None, typer.Option("--p99", help="99 of 100 calls take at most: 20ms.")
    ] = None,
    throughput: Annotated[
        str | None, typer.Option("--throughput", help="Images a second at least: 100/s.")
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="Peak memory above the interpreter at most: 200MB."),
    ] = None,
    size: Annotated[
        str | None, typer.Option("--size", help="The artifact's files at most: 50MB.")
    ] = None,
    accuracy: Annotated[
        str | None, typer.Option("--accuracy", help="The accuracy at least: 80%.")
    ] = None,
    max_accuracy_drop: Annotated[
        str | None,
        typer.Option(
            "--max-accuracy-drop",
            help="Lost beside fp32 eager on the same images, in percentage points at most: 1%.",
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            "--objective", help="The best by: p50, p99, throughput, memory, size, accuracy."
        ),
    ] = "p50",
    accuracy_by: Annotated[
        str | None,
        typer.Option(
            "--accuracy-by",
            help="top-1, balanced, auc or all labels. [default: top-1; auc where images have "
            "several labels]",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="The images that accuracies are of, by name or path. [default: those that most "
            "were evaluated on]",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Repeatable. [default: all]")
    ] = None,
    runner: Annotated[
        list[str] | None, typer.Option("--runner", "-r", help="Repeatable. [default: all]")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option("--precision", help="Repeatable. [default: all]")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", help="Images a call: 1,8. [default: all]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of that thread budget. [default: all]")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda; several: cpu,cuda. [default: all]")
    ] = None,
    timing: Annotated[
        str | None,
        typer.Option(
            "--timing",
            help="host-to-host, engine-only or end-to-end. [default: host-to-host, where that was "
            "timed]",
        ),
    ] = None,
    host: Annotated[
        list[str] | None, typer.Option("--host", help="Of that host's records. [default: all]")
    ] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", "-p", help="Measured under that profile. [default: all]"),
    ] = None,
    margin: parse.MarginOption = "2%",
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
    csv: parse.CsvOption = False,
    markdown: parse.MarkdownOption = False,
) -> None:
    """Which model, backend, precision and batch meet the constraints, from the records at hand;
    nothing is measured."""
    from deploybench.analysis.advice import OBJECTIVES
    from deploybench.analysis.advice import advise as advice_for
    from deploybench.analysis.candidates import choices_of
    from deploybench.report.advice_table import advice_report
    from deploybench.report.printing import print_report
    from deploybench.results.cell import TIMINGS
    from deploybench.results.quality import ACCURACY_KINDS

    asked = parse.output_format(table_format, json=json, csv=csv, markdown=markdown)
    constraints = _constraints(
        p50=p50,
        p99=p99,
        throughput=throughput,
        memory=memory,
        size=size,
        accuracy=accuracy,
        max_accuracy_drop=max_accuracy_drop,
    )
    by_name = {quantity.value: quantity for quantity in OBJECTIVES}
    looked_for = by_name[parse.choice(objective, "--objective", list(by_name))]
    if accuracy_by is not None:
        accuracy_by = parse.choice(accuracy_by, "--accuracy-by", ACCURACY_KINDS)
    if timing is not None:
        timing = parse.choice(timing, "--timing", TIMINGS)
    share = parse.percent(margin, "--margin")
    found, problems, known = _records(records or (), workspace)
    found = _having(found, "model", _models(model, found))
    found = _having(found, "runner", parse.split_names(runner))
    found = _having(found, "precision", parse.precisions(precision))
    found = _having(found, "device", parse.devices(device))
    if batch is not None:
        found = _having(found, "batch", list(map(str, parse.positive_numbers(batch, "--batch"))))
    if threads is not None:
        found = _having(found, "threads", [str(threads)])
    found = _having(found, "host", parse.split_names(host))
    found = _having(found, "profile", parse.split_names(profile))
    choices = choices_of(found, timing=timing, accuracy_of=accuracy_by, data=data, known=known)
    advices = [advice_for(choice, constraints, looked_for, share) for choice in choices]
    print_report(advice_report(advices, [problem.found for problem in problems]), asked)
    code = _exit_code(advices)
    if code:
        raise typer.Exit(code)


def _constraints(
    *,
    p50: str | None,
    p99: str | None,
    throughput: str | None,
    memory: str | None,
    size: str | None,
    accuracy: str | None,
    max_accuracy_drop: str | None,
) -> list[Constraint]:
    from deploybench.analysis.amounts import Quantity
    from deploybench.analysis.constraints import Constraint

    found = []
    if p50 is not None:
        found.append(Constraint(Quantity.P50, limits.milliseconds(p50, "--p50")))
    if p99 is not None:
        found.append(Constraint(Quantity.P99, limits.milliseconds(p99, "--p99")))
    if throughput is not None:
        rate = limits.images_per_second(throughput, "--throughput")
        found.append(Constraint(Quantity.THROUGHPUT, rate))
    if memory is not None:
        found.append(Constraint(Quantity.MEMORY, limits.byte_count(memory, "--memory")))
    if size is not None:
        found.append(Constraint(Quantity.SIZE, limits.byte_count(size, "--size")))
    if accuracy is not None:
        share = parse.percent(accuracy, "--accuracy")
        if share > 1:
            raise DeployBenchError(f"--accuracy {accuracy}", expected="at most 100%")
        found.append(Constraint(Quantity.ACCURACY, share))
    if max_accuracy_drop is not None:
        drop = parse.percent(max_accuracy_drop, "--max-accuracy-drop")
        found.append(Constraint(Quantity.DROP, drop))
    return found


def _records(
    names: Sequence[str], workspace: Path | None
) -> tuple[list[Record], list[DeployBenchError], list[Record]]:
    """The records, why others do not read, and what the workspace knows of artifacts beside them.

    Raises DeployBenchError where none reads.
    """
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.gating.sides import folder_of
    from deploybench.results.store import evaluations_in, readable_records

    folder = open_workspace(workspace).records_folder
    paths = [folder_of(name, workspace) for name in names] or [folder]
    found: list[Record] = []
    problems: list[DeployBenchError] = []
    for path in paths:
        records, unreadable = readable_records(path)
        found += records
        problems += unreadable
    if not found:
        raise DeployBenchError(
            f"none of the records reads: {problems[0].found}",
            expected=problems[0].expected,
            action=problems[0].action,
        )
    known = evaluations_in(folder) if names else []
    return found, problems, known


def _having(records: Sequence[Record], field: str, values: Sequence[str]) -> list[Record]:
    """The records whose field has one of the values; all where there are none.

    The batch and the threads of an evaluation are no matter: it says the same of all. Raises
    DeployBenchError for a value that no record has.
    """
    if not values:
        return list(records)
    by_value: dict[str, list[Record]] = {}
    kept = []
    for record in records:
        value = _value(record, field)
        by_value.setdefault(value, []).append(record)
        of_answers = record.measures != "time" and field in ("batch", "threads")
        if value in values or of_answers:
            kept.append(record)
    for value in values:
        if value not in by_value:
            raise unknown_name(f"{field} of these records", value, by_value)
    return kept


def _models(asked: Sequence[str] | None, records: Sequence[Record]) -> list[str]:
    """The models that are asked for; a group stands for those of its members that have records."""
    known = {record.cell.model for record in records}
    names: list[str] = []
    for name in parse.split_names(asked):
        if name in known:
            names.append(name)
            continue
        # Only now: it takes time to find what the groups are.
        members = [member for member in parse.model_names([name]) if member in known]
        names += members or [name]
    return names


def _value(record: Record, field: str) -> str:
    if field == "host":
        return record.host.hostname
    if field == "profile":
        return record.profile
    return str(getattr(record.cell, field))


def _exit_code(advices: Sequence[Advice]) -> int:
    """That of the machine of which most is known."""
    if any(advice.recommended is not None for advice in advices):
        return 0
    if any(advice.promising is not None or not advice.settled for advice in advices):
        return EXIT_INCONCLUSIVE
    return EXIT_SOME_FAILED
