"""The comparison table: a row a cell and state of the machine, grouped by model.

Every row that is not plainly valid has a note.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

from deploybench.hardware.devices import CPU, CUDA, kind_of
from deploybench.report.figures import (
    AMBIGUOUS_MARK,
    AT_LEAST,
    VERDICT_STYLES,
    WIDE,
    answer_mark,
    form,
    short_width,
    three_digits,
)
from deploybench.report.run_notes import notes_of
from deploybench.report.table import NOT_KNOWN, NOTHING, Column, Style, Table, table_of
from deploybench.results.cell import HOST_TO_HOST
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row
from deploybench.statistics.samples import CONFIDENCE, samples_needed

SATURATED = " ◂"
SIMULATED = "simulated"
MIXED = "~"
UNEVEN = 1.5
"""A rate that differs from what the median call makes by more than this factor describes other
calls."""
PEAKS = {CPU: "this host's measured matmul peak", CUDA: "the peak that the GPU's profile states"}
KEY_LETTERS = 8

Roofs = Collection[tuple[str, str]]


def run_table(rows: Sequence[Row], doubted_roofs: Roofs = ()) -> Table:
    """The rows of all models.

    ``doubted_roofs`` are the runs and devices whose peaks are lower than what was measured
    (:func:`deploybench.analysis.findings.contradicted_roofs`).
    """
    return table_of(
        [column for column in _columns(doubted_roofs) if _shown(column, rows)],
        rows,
        group=_title,
        name=lambda row: f"{row.model} {row.runner}",
        notes=notes_of,
        legend=_legend(rows, doubted_roofs),
    )


def _columns(doubted: Roofs) -> tuple[Column[Row], ...]:
    return (
        Column("runner", "runner", lambda row: row.runner),
        Column("device", "device", lambda row: row.device),
        Column("form", "form", lambda row: row.form, priority=2),
        Column("artifact_key", "artifact", lambda row: (row.artifact_key or "")[:KEY_LETTERS]),
        Column("host", "host", lambda row: row.host),
        Column("run", "run", lambda row: row.run),
        Column("precision", "prec", lambda row: row.precision),
        Column("batch", "b", lambda row: str(row.batch), number=True),
        Column("asked_threads", "thr", lambda row: str(row.asked_threads), number=True),
        Column("streams", "streams", _streams, number=True),
        Column("timing", "times", _timing),
        Column("options", "options", lambda row: ", ".join(row.options.option_marks)),
        Column("state", "hop", _state, number=True, priority=2),
        Column("p50_ms", "p50", _p50, unit="ms", number=True),
        Column("half_width", "±", _half_width, number=True),
        Column("p99_ms", "p99", _p99, number=True, priority=4),
        Column("images_per_s", "img/s", _rate, number=True, priority=2),
        Column("peak_mib", "peak MB", _peak_memory, number=True, priority=2),
        Column("energy", "J/img", _energy, number=True, priority=3),
        Column("gflops", "GF/s", _gflops, number=True, priority=5),
        Column("share_of_peak", "%peak", _share_of_peak(doubted), number=True, priority=5),
        Column("times_bound", "×bound", _times_bound(doubted), number=True, priority=5),
        Column("speedup", "×baseline", _speedup, number=True),
        Column("verdict", "verdict", _verdict, style=_verdict_style),
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
    if column.key == "times_bound":
        return any(row.bound_ms for row in rows)
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


def _streams(row: Row) -> str:
    """Empty for one stream, as usual."""
    if row.streams == 1:
        return ""
    return str(row.streams)


def _timing(row: Row) -> str:
    """Empty for times from host to host, as usual."""
    if row.timing == HOST_TO_HOST:
        return ""
    return row.timing


def _state(row: Row) -> str:
    """The state of the machine and how often it was met; empty where there was only one."""
    if row.states_seen < 2 or row.state_hop_ns is None or row.state_share is None:
        return ""
    return f"{row.state_hop_ns:.0f} ns {row.state_share:.0%}"


def _p50(row: Row) -> str:
    if row.p50_ms is None and row.mixed_states_ms is not None:
        return f"{MIXED}{three_digits(row.mixed_states_ms)}"
    return three_digits(row.p50_ms)


def _half_width(row: Row) -> str:
    """The farther end of the interval from the median, in percent."""
    if row.p50_ms is None or row.p50_low_ms is None or row.p50_high_ms is None:
        return NOTHING
    return short_width(row.p50_ms, row.p50_low_ms, row.p50_high_ms)


def _p99(row: Row) -> str:
    if row.p99_ms is None and row.p50_ms is not None:
        return NOT_KNOWN
    return three_digits(row.p99_ms)


def _rate(row: Row) -> str:
    rate = row.throughput_images_per_s
    if rate is None or row.p50_ms is None:
        return NOTHING
    # If every call took as long as the median one, the rate would be this.
    of_the_median = row.streams * row.batch * 1e3 / row.p50_ms
    apart = max(rate / of_the_median, of_the_median / rate)
    if row.verdict is not Verdict.VALID and row.streams == 1 and apart > UNEVEN:
        return NOT_KNOWN
    text = three_digits(rate)
    if row.saturates:
        text += SATURATED
    return text


def _peak_memory(row: Row) -> str:
    return form(row.peak_memory_mib, "{:.0f}")


def _energy(row: Row) -> str:
    if not row.energy_j_per_image:
        return ""
    return three_digits(row.energy_j_per_image)


def _gflops(row: Row) -> str:
    figure = form(row.achieved_gflops, "{:.0f}")
    if row.macs_uncounted and row.achieved_gflops is not None:
        return f"{AT_LEAST} {figure}"
    return figure


def _trusted(row: Row, doubted: Roofs) -> bool:
    """Whether both the time and the peak that it is held against can be trusted."""
    return row.verdict is Verdict.VALID and (row.run, row.device) not in doubted


def _share_of_peak(doubted: Roofs) -> Callable[[Row], str]:
    def write(row: Row) -> str:
        if row.share_of_peak is None:
            return NOTHING
        if not _trusted(row, doubted):
            return NOT_KNOWN
        share = f"{100 * row.share_of_peak:.0f}%"
        if row.macs_uncounted:
            return f"{AT_LEAST} {share}"
        return share

    return write


def _times_bound(doubted: Roofs) -> Callable[[Row], str]:
    def write(row: Row) -> str:
        if row.times_bound is None:
            return NOTHING
        if not _trusted(row, doubted):
            return NOT_KNOWN
        return three_digits(row.times_bound)

    return write


def _speedup(row: Row) -> str:
    """The speed-up with its interval and the answer.

    There is no interval while it would cover less than 95 %.
    """
    if row.speedup is None or row.speedup_low is None or row.speedup_high is None:
        return NOTHING
    if (row.speedup_coverage or 0) < CONFIDENCE:
        return f"{row.speedup:.2f} {AMBIGUOUS_MARK}"
    width = short_width(row.speedup, row.speedup_low, row.speedup_high)
    if width != WIDE:
        width = f"±{width}"
    return f"{row.speedup:.2f} {width} {answer_mark(row.speedup_answer)}"


def _verdict(row: Row) -> str:
    if row.provenance == SIMULATED:
        return f"{row.verdict.value} {SIMULATED}"
    return row.verdict.value


def _verdict_style(row: Row) -> Style:
    if row.provenance == SIMULATED:
        return Style.MARKED
    return VERDICT_STYLES[row.verdict]


def _legend(rows: Sequence[Row], doubted: Roofs) -> str:
    """What the headings and marks mean; only of those that are there."""
    parts = [f"p50: median of launch medians, ±: its interval over launches{_coverage_text(rows)}"]
    if any(_half_width(row) == WIDE or WIDE in _speedup(row) for row in rows):
        parts.append(f"{WIDE}: wider than ±100%")
    if any(row.p50_ms is None and row.mixed_states_ms is not None for row in rows):
        parts.append(f"{MIXED}: the machine changed speed during every launch: of no one state")
    if any(row.states_seen > 1 for row in rows):
        parts.append(
            "hop: the machine's state (time of a cache line from core to core) and the share of "
            "launches in it"
        )
    parts.append(f"p99: nearest rank, {NOT_KNOWN} under {samples_needed(0.99)} independent samples")
    if any(row.saturates for row in rows):
        parts.append(f"img/s: wall time,{SATURATED} saturates")
    else:
        parts.append("img/s: wall time")
    if any(_rate(row) == NOT_KNOWN for row in rows):
        parts.append(f"img/s {NOT_KNOWN}: the calls are too uneven for one rate")
    parts.append("peak MB: above the interpreter, MiB")
    parts += _legend_of_peaks(rows, doubted)
    if any(row.provenance == SIMULATED for row in rows):
        parts.append("simulated: a double stood in for the driver, nothing of it is a GPU's")
    parts += _legend_of_baseline(rows)
    threads = sorted({row.asked_threads for row in rows})
    parts.append(f"Threads: {', '.join(map(str, threads))}.")
    return ". ".join(parts)


def _legend_of_baseline(rows: Sequence[Row]) -> list[str]:
    """What the speed-ups are over."""
    baselines = [row.baseline for row in rows if row.baseline]
    if not baselines:
        return []
    reference = f"{baselines[0]} fp32"
    if len({row.device for row in rows}) > 1:
        reference += " on the same device"
    return [
        f"×baseline: times faster than {reference}, paired by round, {AMBIGUOUS_MARK}: AMBIGUOUS"
    ]


def _legend_of_peaks(rows: Sequence[Row], doubted: Roofs) -> list[str]:
    """What the peaks are, and why some shares of them are not shown."""
    kinds = sorted({kind_of(row.device) for row in rows})
    parts = [f"%peak: of {' or '.join(PEAKS[kind] for kind in kinds)}"]
    if any(row.times_bound for row in rows):
        parts.append("×bound: p50 over the least time that MACs, bytes and peaks allow")
    compared = [row for row in rows if row.share_of_peak is not None or row.times_bound is not None]
    if any((row.run, row.device) in doubted for row in compared):
        parts.append(
            f"%peak and ×bound {NOT_KNOWN}: calls were faster than the peak allows, so the peak "
            "cannot be trusted"
        )
    if any(row.verdict is not Verdict.VALID for row in compared):
        parts.append(f"%peak and ×bound {NOT_KNOWN} where the time is not VALID")
    return parts


def _coverage_text(rows: Sequence[Row]) -> str:
    """What the interval that covers the least covers."""
    coverages = [row.p50_coverage or 0 for row in rows if row.p50_ms is not None]
    least = min(coverages, default=0)
    if least >= CONFIDENCE:
        return " (95%)"
    if least > 0:
        return f" (covers {least:.0%}; 6 rounds: 97%)"
    return ""
