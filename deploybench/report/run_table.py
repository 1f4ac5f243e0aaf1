"""The comparison table: a row a cell, grouped by model, with notes on every row that is not plainly
valid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from deploybench.hardware.devices import CPU, CUDA, kind_of
from deploybench.results.cell import HOST_TO_HOST
from deploybench.rows.ranking import ranking_lines
from deploybench.rows.row import Row
from deploybench.statistics.ratios import Answer
from deploybench.statistics.samples import CONFIDENCE, half_width, samples_needed

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
SATURATED = " ◂"
SIMULATED = "simulated"
WIDEST = 1000
PEAKS = {CPU: "this host's measured matmul peak", CUDA: "the peak that the GPU's profile states"}


@dataclass(frozen=True)
class Column:
    """A column of the table.

    One that is not ``always`` shown is there ``when`` it says, or when a row has text.
    """

    title: str
    text: Callable[[Row], str]
    justify: Literal["left", "right"] = "right"
    always: bool = True
    when: Callable[[Sequence[Row]], bool] | None = None

    def shown(self, rows: Sequence[Row]) -> bool:
        if self.when is not None:
            return self.when(rows)
        return self.always or any(self.text(row) for row in rows)


def _several_forms(rows: Sequence[Row]) -> bool:
    """Whether one runner has artifacts in several forms: of another batch, precision or opset."""
    return len({(row.runner, row.form) for row in rows}) > len({row.runner for row in rows})


def _several_devices(rows: Sequence[Row]) -> bool:
    return len({row.device for row in rows}) > 1


COLUMNS = (
    Column("runner", lambda row: row.runner, "left"),
    Column("device", lambda row: row.device, "left", when=_several_devices),
    Column("form", lambda row: row.form, "left", when=_several_forms),
    Column("prec", lambda row: row.precision, "left"),
    Column("b", lambda row: str(row.batch)),
    Column("streams", lambda row: str(row.streams) if row.streams > 1 else "", always=False),
    Column(
        "times", lambda row: "" if row.timing == HOST_TO_HOST else row.timing, "left", always=False
    ),
    Column("options", lambda row: ", ".join(row.options.option_marks), "left", always=False),
    Column("hop", lambda row: _state(row), always=False),
    Column("p50 ms", lambda row: _number(row.p50_ms)),
    Column("±", lambda row: _half_width(row)),
    Column("p99", lambda row: _p99(row)),
    Column("img/s", lambda row: _rate(row)),
    Column("peak MB", lambda row: _number(row.peak_memory_mib, "{:.0f}")),
    Column(
        "J/img",
        lambda row: _number(row.energy_j_per_image) if row.energy_j_per_image else "",
        always=False,
    ),
    Column("GF/s", lambda row: _number(row.achieved_gflops, "{:.0f}")),
    Column("%peak", lambda row: _number(row.share_of_peak and 100 * row.share_of_peak, "{:.0f}%")),
    Column(
        "×bound",
        lambda row: _number(row.times_bound),
        when=lambda rows: any(row.bound_ms for row in rows),
    ),
    Column("×baseline", lambda row: _speedup(row)),
)


def print_run_table(rows: Sequence[Row], console: Console) -> None:
    """Print the tables of all models, then the notes, the legend and the rank correlation."""
    notes: list[Row] = []
    for _, group in groupby(rows, key=lambda row: row.job):
        members = list(group)
        console.print(Text(_title(members[0]), style="bold"))
        _print_whole(_model_table(members, notes), console)
    _print_notes(notes, console)
    console.print(Text(_legend(rows), style="dim"))
    for line in ranking_lines(rows):
        console.print(Text(line))


def _print_whole(table: Table, console: Console) -> None:
    """Where the columns need more room than there is, the lines are longer than it: no figure is
    ever cut off."""
    table.width = max(
        Measurement.get(console, console.options.update(max_width=WIDEST), table).maximum, 1
    )
    console.print(table, crop=False)


def _print_notes(notes: Sequence[Row], console: Console) -> None:
    """The reason of each row that is not plainly valid, below its verdict; what rows share is said
    once."""
    numbered = list(enumerate(notes, 1))
    for advice in dict.fromkeys(row.advice for row in notes):
        alike: dict[str, list[str]] = defaultdict(list)
        for number, row in numbered:
            if row.advice == advice:
                alike[_note(row)].append(f"[{number}] {row.model} {row.runner}")
        for note, titles in alike.items():
            console.print(Text(f"{', '.join(titles)}: {note}"))
        if advice:
            console.print(Text(f"    → {advice}", style="dim"))


def _note(row: Row) -> str:
    """Why the time, the speed-up or the precision of a row is not what was hoped for."""
    parts = [row.reason]
    if not row.complete:
        parts.append(f"interrupted after {row.launches} launches")
    if row.more_rounds:
        parts.append(
            f"{row.stopped}: about {row.more_rounds} more rounds for the precision asked for"
        )
    if row.verdict != "VALID" and row.speedup_verdict == "VALID":
        parts.append("the speed-up, paired by round, is VALID")
    if row.speedup_answer == Answer.AMBIGUOUS.value:
        parts.append(f"speed-up: {row.speedup_reason}")
    if row.launches_flipped:
        launches = "1 launch" if row.launches_flipped == 1 else f"{row.launches_flipped} launches"
        parts.append(f"{launches} met a change of state and count nowhere")
    return "; ".join(parts)


def _model_table(rows: Sequence[Row], notes: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    columns = [column for column in COLUMNS if column.shown(rows)]
    for column in columns:
        table.add_column(column.title, justify=column.justify, no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in rows:
        table.add_row(*(escape(column.text(row)) for column in columns), _verdict(row, notes))
    return table


def _title(row: Row) -> str:
    parameters = f" · {row.parameters / 1e6:.2f} M parameters" if row.parameters else ""
    macs = f" · {row.macs_per_image / 1e9:.2f} GMAC" if row.macs_per_image else ""
    weights = f" · {row.weights}" if row.weights else ""
    patches = f" · patches of {row.patch_size}" if row.patch_size else ""
    return f"\n{row.model}{weights} · {row.image_size}{patches}{parameters}{macs}"


def _verdict(row: Row, notes: list[Row]) -> Text:
    text = Text(row.verdict, style=VERDICT_STYLES.get(row.verdict, ""))
    if row.provenance == SIMULATED:
        text.append(f" {SIMULATED}", style="bold magenta")
    if (
        row.verdict != "VALID"
        or not row.complete
        or row.speedup_answer == Answer.AMBIGUOUS.value
        or row.more_rounds
    ):
        notes.append(row)
        text.append(f" [{len(notes)}]")
    return text


def _state(row: Row) -> str:
    """The state of the machine and how often it was met; empty where there was only one."""
    if row.states_seen < 2 or row.state_hop_ns is None or row.state_share is None:
        return ""
    return f"{row.state_hop_ns:.0f} ns {row.state_share:.0%}"


def _half_width(row: Row) -> str:
    """The farther end of the interval from the median, in percent."""
    if row.p50_ms is None or row.p50_low_ms is None or row.p50_high_ms is None:
        return NOTHING
    return f"{100 * half_width(row.p50_ms, row.p50_low_ms, row.p50_high_ms):.1f}%"


def _p99(row: Row) -> str:
    return "n/a" if row.p99_ms is None and row.p50_ms is not None else _number(row.p99_ms)


def _rate(row: Row) -> str:
    return _number(row.throughput_images_per_s) + (SATURATED if row.saturates else "")


def _speedup(row: Row) -> str:
    """The speed-up with its interval and the answer; without an interval while it does not cover 95
    %."""
    if row.speedup is None or row.speedup_low is None or row.speedup_high is None:
        return NOTHING
    if (row.speedup_coverage or 0) < CONFIDENCE:
        return f"{row.speedup:.2f} ?"
    width = half_width(row.speedup, row.speedup_low, row.speedup_high)
    found = "?" if row.speedup_answer == Answer.AMBIGUOUS.value else row.speedup_answer
    return f"{row.speedup:.2f} ±{100 * width:.1f}% {found}"


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
    measured = [row for row in rows if row.p50_ms is not None]
    coverage = min((row.p50_coverage or 0 for row in measured), default=0)
    baseline = next((row.baseline for row in rows if row.baseline), None)
    threads = ", ".join(str(count) for count in sorted({row.asked_threads for row in rows}))
    parts = [
        "p50: median of launch medians, ±: its interval over launches" + _coverage_words(coverage)
    ]
    if any(row.states_seen > 1 for row in rows):
        parts.append(
            "hop: the machine's state (time of a cache line from core to core) and the share of "
            "launches in it"
        )
    parts.append(f"p99: nearest rank, n/a under {samples_needed(0.99)} independent samples")
    parts.append(
        "img/s: wall time"
        + (f",{SATURATED} saturates" if any(row.saturates for row in rows) else "")
    )
    parts.append("peak MB: above the interpreter, MiB")
    kinds = {kind_of(row.device) for row in rows}
    parts.append("%peak: of " + " or ".join(PEAKS[kind] for kind in sorted(kinds)))
    if any(row.times_bound for row in rows):
        parts.append("×bound: p50 over the least time that MACs, bytes and peaks allow")
    if any(row.provenance == SIMULATED for row in rows):
        parts.append("simulated: a double stood in for the driver, nothing of it is a GPU's")
    if baseline:
        where = " on the same device" if _several_devices(rows) else ""
        parts.append(
            f"×baseline: times faster than {baseline} fp32{where}, paired by round, ?: AMBIGUOUS"
        )
    return ". ".join(parts) + f". Threads: {threads}."


def _coverage_words(coverage: float) -> str:
    if coverage >= CONFIDENCE:
        return " (95%)"
    return f" (covers {coverage:.0%}; 6 rounds: 97%)" if coverage > 0 else ""
