"""What the comparison table has no room for.

The tail, start-up and memory by phase, what disturbed the launches, and why each row is what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploybench.hardware.devices import CPU
from deploybench.report.figures import AT_LEAST, form
from deploybench.report.run_notes import notes_of
from deploybench.report.table import NOT_KNOWN, NOTHING, Column, Prose, Style, Table, table_of
from deploybench.results.cell import HOST_TO_HOST
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row

ROOFLINE_REMARK = (
    "bound: MACs at the peak, or weights, input and output once through memory, less what caches "
    "keep; unfused: what every product and convolution reads and writes as well, which is no bound"
)

VISITS_TITLE = "The visits, and what the undisturbed time rests on; ms"
VISITS_REMARK = (
    "calm: how many visits found the machine at so much of its own speed or more; all visits: the "
    "undisturbed time as all of them give it, moved to full speed along the slope; worth: so many "
    "independent ones; delivered: of the machine's own speed, what a tenth, half and nine tenths "
    "of the visits got at most; slope: at -0.8 a call takes 0.8 % longer where the machine "
    "delivers 1 % less; halves: of the run; apart: the medians of two processes, beyond chance"
)


def detail_sections(rows: Sequence[Row]) -> list[Table | Prose]:
    """Tables of the rows that were measured, why rows are not valid, the command of each cell."""
    measured = [row for row in rows if row.p50_ms is not None]
    cells = [row for row in measured if row.main_state]
    noted = [row for row in rows if notes_of(row)]
    sections: list[Table | Prose] = []
    if noted:
        sections.append(_table("Why, row by row", WHY, noted))
    if not measured:
        return sections
    percentiles: tuple[Column[Row], ...] = PERCENTILES
    if any(row.device_p50_ms is not None for row in measured):
        percentiles = (*PERCENTILES, DEVICE_TIME)
    visited = [row for row in measured if row.visits]
    title = "Percentiles, ms, with their 95 % intervals"
    if visited:
        title = "Percentiles as met, ms, with their 95 % intervals"
        sections.append(_table(VISITS_TITLE, VISITS, visited, VISITS_REMARK))
    around: tuple[Column[Row], ...] = AROUND
    if any(row.pinned_cpus for row in measured):
        around = (*AROUND, PINNED)
    start_up: tuple[Column[Row], ...] = START_UP
    if any(row.cached_start_s is not None for row in cells):
        start_up = (*START_UP, CACHED_START)
    sections += [
        _table(title, percentiles, measured),
        _table("Process start to first answer, s", start_up, cells),
        _table("Memory above the harness after each phase, MiB", MEMORY, cells),
        _table("Around the launches", around, measured),
    ]
    bounded = [row for row in measured if row.bound_ms is not None]
    if bounded:
        title = "The least time of one call, computed"
        sections.append(_table(title, ROOFLINE, bounded, ROOFLINE_REMARK))
    on_gpu = [row for row in cells if row.gpu_used_mib is not None or row.gpu_missing]
    if on_gpu:
        sections.append(_table("The GPU right after the calls", GPU, on_gpu, _not_told(on_gpu)))
    without_energy = [row for row in measured if row.energy_j_per_image is None]
    reasons = dict.fromkeys(row.energy_source for row in without_energy)
    if reasons:
        lines = tuple(f"J/image n/a: {reason}" for reason in reasons)
        sections.append(Prose(lines, Style.FAINT))
    commands = tuple(row.command for row in cells)
    title = "The command that measures each cell again"
    return [*sections, Prose(commands, title=title, verbatim=True)]


def _table(
    title: str, columns: Sequence[Column[Row]], rows: Sequence[Row], legend: str = ""
) -> Table:
    """The columns beside the name of each cell; no data: the rows of the run have all of it."""
    named = Column[Row]("cell", "cell", _cell, folds=True)
    return table_of((named, *columns), rows, title=title, legend=legend, data=_no_data)


def _no_data(row: Row) -> dict[str, object]:
    return {}


def _not_told(rows: Sequence[Row]) -> str:
    missing = dict.fromkeys(row.gpu_missing for row in rows if row.gpu_missing)
    return "; ".join(f"not told: {figures}" for figures in missing)


def _figure(title: str, read: Callable[[Row], float | None], pattern: str) -> Column[Row]:
    return Column(title, title, lambda row: form(read(row), pattern), number=True)


def _text(title: str, show: Callable[[Row], str]) -> Column[Row]:
    return Column(title, title, show, number=True)


def _gflops(row: Row) -> str:
    figure = form(row.achieved_gflops, "{:.0f}")
    if row.macs_uncounted and row.achieved_gflops is not None:
        return f"{AT_LEAST} {figure}"
    return figure


def _what_bounds(row: Row) -> str:
    """In words where the time is known; else what its bound is limited by."""
    if row.bounded_by is not None and row.verdict is Verdict.VALID:
        return row.bounded_by
    if row.bound_limited_by is None:
        return NOTHING
    return f"time not known; its bound: {row.bound_limited_by}"


def _cell(row: Row) -> str:
    parts = [row.model, row.runner]
    if row.device != CPU:
        parts.append(row.device)
    parts += [row.precision, f"b{row.batch}"]
    if row.streams > 1:
        parts.append(f"{row.streams} streams")
    if row.timing != HOST_TO_HOST:
        parts.append(row.timing)
    parts += row.options.option_titles
    if row.states_seen > 1 and row.state_hop_ns is not None:
        parts.append(f"hop {row.state_hop_ns:.0f} ns")
    return " ".join(parts)


def _interval(
    value: float | None, low: float | None, high: float | None, needed: int | None
) -> str:
    """The value with its ends, or how many samples it would need."""
    if value is None:
        if needed:
            return f"needs {needed}"
        return NOT_KNOWN
    if low is None or high is None:
        return f"{value:.3g}"
    return f"{value:.3g} ({low:.3g}–{high:.3g})"


def _median(row: Row) -> str:
    """As met, like the other percentiles."""
    if row.experienced_p50_ms is None:
        return _interval(row.p50_ms, row.p50_low_ms, row.p50_high_ms, None)
    return _interval(
        row.experienced_p50_ms, row.experienced_p50_low_ms, row.experienced_p50_high_ms, None
    )


def _calm(row: Row) -> str:
    if row.calm_visits is None or row.calm_share is None or row.delivered_p50 is None:
        return NOTHING
    return f"{row.calm_visits} at {row.calm_share:.0%}"


def _all_visits(row: Row) -> str:
    if row.all_visits_ms is None:
        return NOTHING
    return _interval(row.all_visits_ms, row.all_visits_low_ms, row.all_visits_high_ms, None)


def _delivered(row: Row) -> str:
    shares = (row.delivered_p10, row.delivered_p50, row.delivered_p90)
    if None in shares:
        return NOTHING
    return " / ".join(form(share, "{:.0%}") for share in shares)


def _halves(row: Row) -> str:
    if row.p50_low_ms is None:
        return NOTHING
    if row.halves_agree:
        return "agree"
    return "differ"


def _moved_mb(row: Row) -> float | None:
    if row.moved_bytes is None:
        return None
    return row.moved_bytes / 1e6


def _slowed(row: Row) -> str:
    if row.gpu_throttle_reasons is None:
        return NOTHING
    return row.gpu_throttle_reasons or "nothing"


def _ecc(row: Row) -> str:
    if row.gpu_ecc is None:
        return NOTHING
    if row.gpu_ecc:
        return "on"
    return "off"


def _why(row: Row) -> str:
    return "; ".join(note.full for note in notes_of(row))


def _advice(row: Row) -> str:
    return "; ".join(note.advice for note in notes_of(row) if note.advice)


WHY = (
    Column[Row]("verdict", "verdict", lambda row: row.verdict.value),
    Column[Row]("why", "why", _why, folds=True),
    Column[Row]("advice", "what to do", _advice, folds=True),
)
VISITS = (
    _figure("processes", lambda row: row.processes, "{}"),
    _figure("visits", lambda row: row.visits, "{}"),
    _text("calm", _calm),
    _text("rests on", lambda row: row.undisturbed_basis or NOTHING),
    _text("undisturbed", lambda row: _interval(row.p50_ms, row.p50_low_ms, row.p50_high_ms, None)),
    _text("all visits", _all_visits),
    _figure("worth", lambda row: row.independent_visits, "{:.0f}"),
    _text("delivered", _delivered),
    _figure("slope", lambda row: row.delivered_slope, "{:.2f}"),
    _text("halves", _halves),
    _figure("apart", lambda row: row.process_shift, "{:.1%}"),
)
PERCENTILES = (
    _text("samples", lambda row: str(row.samples)),
    _text("p50", _median),
    _text(
        "p90",
        lambda row: _interval(row.p90_ms, row.p90_low_ms, row.p90_high_ms, row.p90_samples_needed),
    ),
    _text(
        "p95",
        lambda row: _interval(row.p95_ms, row.p95_low_ms, row.p95_high_ms, row.p95_samples_needed),
    ),
    _text(
        "p99",
        lambda row: _interval(row.p99_ms, row.p99_low_ms, row.p99_high_ms, row.p99_samples_needed),
    ),
    _text(
        "p99.9",
        lambda row: _interval(
            row.p999_ms, row.p999_low_ms, row.p999_high_ms, row.p999_samples_needed
        ),
    ),
)
DEVICE_TIME = _figure("GPU ms", lambda row: row.device_p50_ms, "{:.3g}")
"""What a call takes by the GPU's own clock, where any runner tells it."""
START_UP = (
    _figure("cold start", lambda row: row.cold_start_s, "{:.2f}"),
    _figure("process", lambda row: row.start_s, "{:.2f}"),
    _figure("import", lambda row: row.import_s, "{:.2f}"),
    _figure("load", lambda row: row.load_s, "{:.2f}"),
    _figure("compile", lambda row: row.compile_s, "{:.2f}"),
    _figure("first ms", lambda row: row.first_inference_ms, "{:.1f}"),
)
CACHED_START = _figure("found compiled", lambda row: row.cached_start_s, "{:.2f}")
"""Of launches that found in a cache what the first one on a machine compiles."""
MEMORY = (
    _figure("harness", lambda row: row.baseline_memory_mib, "{:.0f}"),
    _figure("import", lambda row: row.imported_memory_mib, "{:.0f}"),
    _figure("load", lambda row: row.loaded_memory_mib, "{:.0f}"),
    _figure("compile", lambda row: row.compiled_memory_mib, "{:.0f}"),
    _figure("first", lambda row: row.first_inference_memory_mib, "{:.0f}"),
    _figure("peak", lambda row: row.peak_memory_mib, "{:.0f}"),
    _figure("steady peak", lambda row: row.steady_peak_memory_mib, "{:.0f}"),
    _figure("PSS", lambda row: row.steady_pss_mib, "{:.0f}"),
    _figure("device", lambda row: row.device_memory_mib, "{:.0f}"),
    _figure("each image", lambda row: row.memory_per_image_mib, "{:.1f}"),
)
AROUND = (
    _figure("hop ns", lambda row: row.state_hop_ns, "{:.0f}"),
    _text("launches", lambda row: str(row.launches)),
    _text("left out", lambda row: str(row.launches_left_out)),
    _text("flipped", lambda row: str(row.launches_flipped)),
    _figure("warm-up", lambda row: row.warm_up_calls, "{}"),
    _figure("others' CPU", lambda row: row.foreign_cpu_share, "{:.1%}"),
    _figure("steal", lambda row: row.steal_share, "{:.1%}"),
    _figure("switches", lambda row: row.switches_per_call, "{:.1f}"),
    _figure("J/image", lambda row: row.energy_j_per_image, "{:.3g}"),
)
PINNED = _text("pinned to", lambda row: row.pinned_cpus or NOTHING)
"""The CPUs that the processes were kept on, where those of any row were."""
ROOFLINE = (
    _figure("bound ms", lambda row: row.bound_ms, "{:.3g}"),
    _figure("unfused ms", lambda row: row.unfused_ms, "{:.3g}"),
    _figure("MB moved", _moved_mb, "{:.1f}"),
    _text("GF/s", _gflops),
    Column("what bounds it", "what bounds it", _what_bounds, folds=True),
)
GPU = (
    _figure("SM MHz", lambda row: row.gpu_sm_clock_mhz, "{:.0f}"),
    _figure("mem MHz", lambda row: row.gpu_memory_clock_mhz, "{:.0f}"),
    _figure("°C", lambda row: row.gpu_temperature_c, "{:.0f}"),
    _figure("W", lambda row: row.gpu_power_w, "{:.0f}"),
    _text("slowed by", _slowed),
    _figure("others", lambda row: row.gpu_other_processes, "{}"),
    _figure("desktop", lambda row: row.gpu_graphics_processes, "{}"),
    _figure("used MiB", lambda row: row.gpu_used_mib, "{:.0f}"),
    _text("PCIe", lambda row: row.gpu_pcie or NOTHING),
    _text("ECC", _ecc),
)
