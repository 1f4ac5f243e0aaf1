"""What the headings and marks of the comparison table mean; only of those that are there."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.hardware.devices import CPU, CUDA, kind_of
from deploybench.report.figures import AMBIGUOUS_MARK, AT_LEAST, WIDE
from deploybench.report.quality_cells import legend_of_accuracy
from deploybench.report.run_cells import (
    MIXED,
    SATURATED,
    SIMULATED,
    WORKED_OUT,
    Roofs,
    half_width_text,
    rate_text,
    speedup_text,
    speedups_differ,
    worked_out,
)
from deploybench.report.table import NOT_KNOWN
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row
from deploybench.statistics.samples import CONFIDENCE, samples_needed

PEAKS = {CPU: "this host's measured matmul peak", CUDA: "the peak that the GPU's profile states"}


def legend_of(rows: Sequence[Row], doubted: Roofs) -> str:
    """The legend of the rows; ``doubted`` as in :func:`deploybench.report.run_table.run_table`."""
    parts = _legend_of_times(rows)
    if any(half_width_text(row) == WIDE or WIDE in speedup_text(row) for row in rows):
        parts.append(f"{WIDE}: wider than ±100%")
    if any(row.p50_ms is None and row.mixed_states_ms is not None for row in rows):
        parts.append(f"{MIXED}: the machine changed speed during every launch: of no one state")
    if any(row.states_seen > 1 for row in rows):
        met = "visits" if any(row.visits for row in rows) else "launches"
        parts.append(
            "hop: the machine's state (time of a cache line from core to core) and the share of "
            f"{met} in it"
        )
    p99 = "p99"
    if any(row.visits for row in rows):
        p99 = "met p99"
    parts.append(
        f"{p99}: nearest rank, {NOT_KNOWN} under {samples_needed(0.99)} independent samples"
    )
    rates = "img/s: wall time"
    if any(row.visits for row in rows):
        rates += ", undisturbed"
    if any(row.saturates for row in rows):
        rates += f",{SATURATED} saturates"
    parts.append(rates)
    if any(rate_text(row) == NOT_KNOWN for row in rows):
        parts.append(f"img/s {NOT_KNOWN}: the calls are too uneven for one rate")
    parts.append("peak MB: above the interpreter, MiB")
    parts += _legend_of_peaks(rows, doubted)
    if any(row.provenance == SIMULATED for row in rows):
        parts.append("simulated: a double stood in for the driver, nothing of it is a GPU's")
    parts += _legend_of_baseline(rows)
    parts += legend_of_accuracy(rows)
    threads = sorted({row.asked_threads for row in rows})
    parts.append(f"Threads: {', '.join(map(str, threads))}.")
    return ". ".join(parts)


def _legend_of_times(rows: Sequence[Row]) -> list[str]:
    """What the time is: of cells that were visited another one than of fresh launches."""
    visited = [row for row in rows if row.visits]
    launched = [row for row in rows if not row.visits]
    parts = []
    if visited:
        parts.append(
            "p50: undisturbed, what a call takes while nobody else uses the machine, ±: its 95% "
            "interval"
        )
        parts.append("met: as the machine was, what a user of it met")
        parts += _legend_of_visits(visited)
    if launched:
        whose = ""
        if visited:
            whose = " without visits"
        parts.append(
            f"p50{whose}: median of launch medians, ±: its interval over launches"
            f"{_coverage_text(launched)}"
        )
    return parts


def _legend_of_visits(rows: Sequence[Row]) -> list[str]:
    """The marks that only times of visits have."""
    parts = []
    if any(worked_out(row) for row in rows):
        parts.append(
            f"{WORKED_OUT}: worked out from slower moments, not seen: too few visits, or none, "
            "found the machine at its own speed"
        )
    if any(half_width_text(row).startswith(AT_LEAST) for row in rows):
        parts.append(f"± {AT_LEAST}: at least; not known how far")
    if any(row.undisturbed_basis == "no canary" for row in rows):
        parts.append("without a canary p50 is as met, too")
    return parts


def _legend_of_baseline(rows: Sequence[Row]) -> list[str]:
    """What the speed-ups are over."""
    baselines = [row.baseline for row in rows if row.baseline]
    if not baselines:
        return []
    reference = f"{baselines[0]} fp32"
    if len({row.device for row in rows}) > 1:
        reference += " on the same device"
    parts = [
        f"×baseline: times faster than {reference}, paired by round, {AMBIGUOUS_MARK}: AMBIGUOUS"
    ]
    if any(speedups_differ(row) for row in rows):
        parts.append("met ×: as the machine was; where it is another one, ×baseline is undisturbed")
    return parts


def _legend_of_peaks(rows: Sequence[Row], doubted: Roofs) -> list[str]:
    """What the peaks are, and why some shares of them are not shown."""
    valid = [row for row in rows if row.verdict is Verdict.VALID]
    if not valid and any(row.visits for row in rows):
        return ["%peak and ×bound: of times that are VALID, here of none"]
    kinds = sorted({kind_of(row.device) for row in rows})
    peaks = " or ".join(PEAKS[kind] for kind in kinds)
    if any(row.peak_raised for row in rows):
        peaks += ", raised to what the calls of a row reached"
    parts = [f"%peak: of {peaks}"]
    if any(row.bound_ms for row in rows):
        parts.append("×bound: p50 over the least time that MACs, bytes and peaks allow")
    compared = [row for row in rows if row.p50_ms and (row.peak_gflops or row.bound_ms)]
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
