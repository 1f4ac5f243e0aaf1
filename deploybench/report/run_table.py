"""The comparison table: a row a cell and state of the machine, grouped by model.

Every row that is not plainly valid has a note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from deploybench.report.figures import AT_LEAST, three_digits
from deploybench.report.quality_cells import (
    accuracy_difference_text,
    accuracy_text,
    agreement_text,
)
from deploybench.report.run_cells import (
    Roofs,
    energy_text,
    experienced_speedup_text,
    experienced_text,
    gflops_text,
    half_width_text,
    memory_text,
    p50_text,
    p99_text,
    rate_text,
    share_of_peak_text,
    speedup_text,
    speedups_differ,
    state_text,
    streams_text,
    times_bound_text,
    timing_text,
    verdict_style,
    verdict_text,
)
from deploybench.report.run_legend import legend_of
from deploybench.report.run_notes import notes_of
from deploybench.report.table import NOT_KNOWN, NOTHING, Column, Table, table_of
from deploybench.results.cell import precision_name
from deploybench.rows.row import Row

KEY_LETTERS = 8


PEAK_COLUMNS = ("share_of_peak", "times_bound")


def run_table(rows: Sequence[Row], doubted_roofs: Roofs = ()) -> Table:
    """The rows of all models.

    ``doubted_roofs`` are the runs and devices whose peaks are lower than what was measured
    (:func:`deploybench.analysis.findings.contradicted_roofs`).
    """
    return table_of(
        [column for column in _columns(rows, doubted_roofs) if _shown(column, rows)],
        rows,
        group=_title,
        name=lambda row: f"{row.model} {row.runner}",
        notes=notes_of,
        legend=legend_of(rows, doubted_roofs),
    )


def _columns(rows: Sequence[Row], doubted: Roofs) -> tuple[Column[Row], ...]:
    tail, tail_priority = "p99", 4
    if any(row.visits for row in rows):
        # Beside an undisturbed median it has to be told that the tail is not undisturbed.
        tail, tail_priority = "met p99", 2
    return (
        Column("runner", "runner", lambda row: row.runner),
        Column("device", "device", lambda row: row.device),
        Column("form", "form", lambda row: row.form, priority=2),
        Column("artifact_key", "artifact", lambda row: (row.artifact_key or "")[:KEY_LETTERS]),
        Column("host", "host", lambda row: row.host),
        Column("run", "run", lambda row: row.run),
        Column("precision", "prec", lambda row: precision_name(row.precision, row.form)),
        Column("batch", "b", lambda row: str(row.batch), number=True),
        Column("asked_threads", "thr", lambda row: str(row.asked_threads), number=True),
        Column("streams", "streams", streams_text, number=True),
        Column("timing", "times", timing_text),
        Column("options", "options", lambda row: ", ".join(row.options.option_marks)),
        Column("state", "hop", state_text, number=True, priority=2),
        Column("p50_ms", "p50", p50_text, unit="ms", number=True),
        Column("half_width", "±", half_width_text, number=True),
        Column("experienced_p50_ms", "met p50", experienced_text, number=True, priority=2),
        Column("p99_ms", tail, p99_text, number=True, priority=tail_priority),
        Column("images_per_s", "img/s", rate_text, number=True, priority=2),
        Column("peak_mib", "peak MB", memory_text, number=True, priority=2),
        Column("energy", "J/img", energy_text, number=True, priority=3),
        Column("gflops", "GF/s", gflops_text, number=True, priority=5),
        Column("share_of_peak", "%peak", share_of_peak_text(doubted), number=True, priority=5),
        Column("times_bound", "×bound", times_bound_text(doubted), number=True, priority=5),
        Column("speedup", "×baseline", speedup_text, number=True),
        Column(
            "experienced_speedup",
            "met ×",
            experienced_speedup_text,
            number=True,
        ),
        Column("accuracy", "accuracy", accuracy_text, unit="%", number=True),
        Column("accuracy_difference", "Δ eager", accuracy_difference_text, number=True),
        Column("agreement", "agree", agreement_text, number=True, priority=2),
        Column("verdict", "verdict", verdict_text, style=verdict_style),
    )


def _shown(column: Column[Row], rows: Sequence[Row]) -> bool:
    """Whether the column says anything of these rows.

    What tells rows apart is shown where they differ in it; what few cells have, where one has it.
    """
    if column.key in ("device", "asked_threads", "host", "run"):
        return len({column.show(row) for row in rows}) > 1
    if column.key == "form":
        # One runner has artifacts of another batch, precision or opset.
        return len({(row.runner, row.form) for row in rows}) > len({row.runner for row in rows})
    if column.key == "artifact_key":
        return _twins(rows)
    if column.key in PEAK_COLUMNS and any(row.visits for row in rows):
        # The figures of visits take their room: a column that knows nothing goes.
        return any(column.show(row) not in (NOTHING, NOT_KNOWN) for row in rows)
    if column.key == "times_bound":
        return any(row.bound_ms for row in rows)
    if column.key == "experienced_p50_ms":
        return any(row.experienced_p50_ms is not None for row in rows)
    if column.key == "experienced_speedup":
        # Where contention changes nothing the two are one number.
        return any(speedups_differ(row) for row in rows)
    if column.key in ("accuracy", "accuracy_difference", "agreement"):
        return any(column.show(row) != NOTHING for row in rows)
    if column.key in ("streams", "timing", "options", "state", "energy"):
        return any(column.show(row) for row in rows)
    return True


def _twins(rows: Sequence[Row]) -> bool:
    """Whether rows of two artifacts differ in nothing else."""
    artifacts: dict[tuple[object, ...], set[str | None]] = defaultdict(set)
    for row in rows:
        told_apart = (
            row.job,
            row.runner,
            row.device,
            row.form,
            row.precision,
            row.batch,
            row.asked_threads,
            row.streams,
            row.timing,
            row.options,
            row.host,
            row.run,
        )
        artifacts[told_apart].add(row.artifact_key)
    return any(len(keys) > 1 for keys in artifacts.values())


def _title(row: Row) -> str:
    parts = [row.model]
    if row.weights:
        parts.append(row.weights)
    parts.append(row.image_size)
    if row.patch_size:
        parts.append(f"patches of {row.patch_size}")
    if row.parameters:
        parts.append(f"{three_digits(row.parameters / 1e6)} M parameters")
    if row.macs_per_image:
        gigas = row.macs_per_image / 1e9
        figure = f"{1e3 * gigas:.3g} MMAC"
        if gigas >= 0.1:
            figure = f"{gigas:.2f} GMAC"
        if row.macs_uncounted:
            figure = f"{AT_LEAST} {figure}, not counted: {row.macs_uncounted}"
        parts.append(figure)
    return " · ".join(parts)
