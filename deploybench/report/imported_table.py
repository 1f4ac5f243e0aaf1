"""The table of what other tools measured: a line a result, in the order of its file.

It is no comparison: lines of different tools, or of times that span different things, are in
groups of their own, and none has a verdict, an interval or a rank.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.archive.imported import Imported, imported_row
from deploybench.report.figures import four_digits
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, Table, table_of
from deploybench.statistics.samples import samples_needed

NEEDED = [samples_needed(fraction) for fraction in (0.5, 0.9, 0.95, 0.99)]
TITLE = "Measured by other tools (imported)"
LEGEND = (
    "imported: none of these was measured by deploybench. Nothing of them was checked (no parity, "
    "no canary, no fresh processes), so they have no verdict and no interval, and no line is "
    "ranked or compared with records or with another line. p50 to p99 are computed from the raw "
    f"times where the file has enough of them ({', '.join(map(str, NEEDED))}); where it has none, "
    "they are as the tool gives them"
)


def imported_report(results: Sequence[Imported]) -> Report:
    """The table, and of a single result what else its file says."""
    sections: list[Table | Prose] = [imported_table(results)]
    if len(results) == 1:
        sections.append(
            Prose(tuple(_in_full(results[0])), Style.FAINT, title="What its file tells")
        )
    return Report(tuple(sections), [imported_row(result) for result in results])


def imported_table(results: Sequence[Imported]) -> Table:
    """The results, grouped by tool and by what a time spans."""
    columns = (
        Column[Imported]("model", "model", lambda one: one.model, folds=True),
        Column[Imported]("tool", "measured by", lambda one: one.whose),
        Column[Imported]("device", "device", lambda one: one.device or NOTHING, priority=4),
        Column[Imported](
            "precision", "precision", lambda one: one.precision or NOTHING, priority=4
        ),
        Column[Imported]("batch", "batch", lambda one: _count(one.batch), number=True, priority=2),
        _time("p50_ms", "p50", 1),
        _time("p90_ms", "p90", 5),
        _time("p95_ms", "p95", 6),
        _time("p99_ms", "p99", 3),
        _time("mean_ms", "mean", 4),
        Column[Imported](
            "throughput_images_per_s",
            "images/s",
            lambda one: four_digits(one.throughput_images_per_s),
            number=True,
            priority=2,
        ),
        Column[Imported]("samples", "samples", lambda one: _count(one.samples), number=True),
        Column[Imported](
            "verdict", "verdict", lambda one: "imported", style=lambda one: Style.FAINT
        ),
    )
    return table_of(
        columns,
        sorted(results, key=lambda one: (one.tool, one.times)),
        group=group_of,
        name=lambda one: one.model,
        notes=_notes,
        title=TITLE,
        legend=LEGEND,
        data=imported_row,
    )


def group_of(result: Imported) -> str:
    """Whose it is and what a time of it spans: only these are alike enough for one table."""
    return f"{result.tool}: {result.times}"


def _notes(result: Imported) -> Sequence[Note]:
    if result.tool_says in (None, "VALID"):
        return ()
    return (Note(f"{result.tool} itself says {result.tool_says}"),)


def _in_full(result: Imported) -> list[str]:
    measured = "not told" if result.created == result.imported else result.created
    lines = [
        f"file: {result.file}",
        f"sha256: {result.file_sha256}",
        f"measured: {measured}; imported: {result.imported}",
        f"a time is: {result.times}",
    ]
    if result.tool_says is not None:
        lines.append(f"{result.tool} says: {result.tool_says}")
    lines += [f"{name}: {value}" for name, value in result.told.items()]
    lines += [f"{name}, as the user says: {value}" for name, value in result.said.items()]
    if result.not_told:
        lines.append(f"not told: {', '.join(result.not_told)}")
    return lines


def _count(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _time(key: str, title: str, priority: int) -> Column[Imported]:
    return Column[Imported](
        key,
        title,
        lambda one: four_digits(getattr(one, key)),
        unit="ms",
        number=True,
        priority=priority,
    )
