"""The comparison table: a row a cell, grouped by model, with notes on every row that is not plainly valid."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from deploybench.report.rows import Row, rank_correlations
from deploybench.stats import samples_needed

VERDICT_STYLES = {
    "VALID": "green",
    "NOISY": "yellow",
    "UNSTABLE": "yellow",
    "DRIFTING": "yellow",
    "SKIPPED": "dim",
    "INVALID": "bold red",
    "FAILED": "bold red",
}
NOTHING = "–"


def print_run_table(rows: Sequence[Row], console: Console) -> None:
    """Print the tables of all models, then the notes, the legend and the rank correlation."""
    notes: list[Row] = []
    for _, group in groupby(rows, key=lambda row: (row.model, row.weights_identity, row.image_size)):
        members = list(group)
        console.print(Text(_title(members[0]), style="bold"))
        console.print(_model_table(members, notes))
    _print_notes(notes, console)
    console.print(Text(_legend(rows), style="dim"))
    console.print(_correlation_line(rows))


def _print_notes(notes: Sequence[Row], console: Console) -> None:
    """The reason of each row that is not plainly valid, below its verdict; advice that rows share is said once."""
    numbered = list(enumerate(notes, 1))
    for advice in dict.fromkeys(row.advice for row in notes):
        sharing = [(number, row) for number, row in numbered if row.advice == advice]
        for number, row in sharing:
            stopped = "" if row.complete else f" (stopped after {row.launches} launches)"
            console.print(Text(f"[{number}] {row.model} {row.runner}: {row.reason}{stopped}"))
        if advice:
            console.print(Text(f"    → {advice}", style="dim"))


def _model_table(rows: Sequence[Row], notes: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("runner", no_wrap=True)
    table.add_column("prec", no_wrap=True)
    for name in ("b", "p50 ms", "±", "p99", "img/s", "peak MB", "MB", "GMAC", "GF/s", "%peak", "×eager"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        table.add_row(*_cells(row), _verdict(row, notes))
    return table


def _title(row: Row) -> str:
    parameters = f" · {row.parameters / 1e6:.2f} M parameters" if row.parameters else ""
    weights = f" · {row.weights}" if row.weights else ""
    return f"\n{row.model}{weights} · {row.image_size}{parameters}"


def _cells(row: Row) -> list[str]:
    return [
        escape(row.runner),
        row.precision,
        str(row.batch),
        _number(row.p50_ms),
        _half_width(row),
        _number(row.p99_ms) if row.p99_ms is not None or row.p50_ms is None else "n/a",
        _number(row.throughput_images_per_s),
        _number(row.peak_memory_mib, "{:.0f}"),
        _number(row.artifact_mib, "{:.0f}" if (row.artifact_mib or 0) >= 10 else "{:.1f}"),
        _number(row.macs_per_image and row.macs_per_image / 1e9, "{:.2f}"),
        _number(row.achieved_gflops, "{:.0f}"),
        _number(row.share_of_peak and 100 * row.share_of_peak, "{:.0f}%"),
        _number(row.speedup_vs_eager, "{:.2f}"),
    ]


def _verdict(row: Row, notes: list[Row]) -> Text:
    text = Text(row.verdict, style=VERDICT_STYLES.get(row.verdict, ""))
    if row.verdict != "VALID" or not row.complete:
        notes.append(row)
        text.append(f" [{len(notes)}]")
    return text


def _half_width(row: Row) -> str:
    """The farther end of the interval from the median, in percent."""
    if row.p50_ms is None or row.p50_low_ms is None or row.p50_high_ms is None:
        return NOTHING
    farther = max(row.p50_high_ms - row.p50_ms, row.p50_ms - row.p50_low_ms)
    return f"{100 * farther / row.p50_ms:.1f}%"


def _number(value: float | None, form: str = "") -> str:
    """Three significant digits unless a form is given."""
    if value is None:
        return NOTHING
    if form:
        return form.format(value)
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def _legend(rows: Sequence[Row]) -> str:
    coverage = next((row.p50_coverage for row in rows if row.p50_coverage is not None), None)
    launches = max((row.launches for row in rows), default=0)
    interval = (
        f"±: interval of the median over {launches} launches, covers {coverage:.0%}"
        + ("; --rounds 6 gives 97%" if coverage < 0.95 else "")
        if coverage is not None
        else "±: needs two launches"
    )
    threads = sorted({row.asked_threads for row in rows})
    return (
        f"p50: median of launch medians. {interval}. p99: nearest rank, n/a under {samples_needed(0.99)} samples. "
        f"img/s: wall time. peak MB: above the interpreter, MiB. GMAC: per image, 1 MAC = 2 FLOP. "
        f"%peak: of this host's measured matmul peak. Threads: {', '.join(map(str, threads))}."
    )


def _correlation_line(rows: Sequence[Row]) -> str:
    found = rank_correlations(rows)
    if not found:
        return "Kendall tau of MACs with p50 latency: n/a (needs two models with different MACs)"
    parts = ", ".join(f"{runner} {tau:+.2f}" for runner, (tau, _) in found.items())
    models = max(count for _, count in found.values())
    return f"Kendall tau of MACs with p50 latency over {models} models: {parts}"
