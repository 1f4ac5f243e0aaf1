"""What the comparison table has no room for: the tail, start-up and memory by phase, what disturbed
the launches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploybench.hardware.devices import CPU
from deploybench.results.cell import HOST_TO_HOST
from deploybench.rows.row import Row

NOTHING = "–"
PERCENTILES = ("samples", "p50", "p90", "p95", "p99", "p99.9")
ON_THE_DEVICE = "GPU ms"
START_UP = ("cold start", "process", "import", "load", "compile", "first ms")
MEMORY = (
    "harness",
    "import",
    "load",
    "compile",
    "first",
    "peak",
    "steady peak",
    "PSS",
    "device",
    "each image",
)
AROUND = (
    "hop ns",
    "launches",
    "left out",
    "flipped",
    "warm-up",
    "others' CPU",
    "steal",
    "switches",
    "J/image",
)

ROOFLINE = ("bound ms", "limit", "×bound", "unfused ms", "MB moved", "GF/s")
ROOFLINE_REMARK = (
    "bound: MACs at the peak, or weights, input and output once through memory, less what caches "
    "keep; unfused: what "
    "every product and convolution reads and writes as well, which is no bound"
)
GPU = ("SM MHz", "mem MHz", "°C", "W", "slowed by", "others", "desktop", "used MiB", "PCIe", "ECC")


def print_details(rows: Sequence[Row], console: Console) -> None:
    """Tables of the rows that were measured, and the command of each cell."""
    measured = [row for row in rows if row.p50_ms is not None]
    cells = [row for row in measured if row.main_state]
    if not measured:
        return
    columns = (
        (*PERCENTILES, ON_THE_DEVICE)
        if any(row.device_p50_ms is not None for row in measured)
        else PERCENTILES
    )
    console.print(
        _table("Percentiles, ms, with their 95 % intervals", columns, measured, _percentiles)
    )
    console.print(_table("Process start to first answer, s", START_UP, cells, _start_up))
    console.print(_table("Memory above the harness after each phase, MiB", MEMORY, cells, _memory))
    console.print(_table("Around the launches", AROUND, measured, _around))
    bounded = [row for row in measured if row.bound_ms is not None]
    if bounded:
        console.print(_table("The least time of one call, computed", ROOFLINE, bounded, _roofline))
        console.print(Text(ROOFLINE_REMARK, style="dim"))
    on_gpu = [row for row in cells if row.gpu_used_mib is not None or row.gpu_missing]
    if on_gpu:
        console.print(_table("The GPU right after the calls", GPU, on_gpu, _gpu))
        for missing in dict.fromkeys(row.gpu_missing for row in on_gpu if row.gpu_missing):
            console.print(Text(f"not told: {missing}", style="dim"))
    for reason in dict.fromkeys(
        row.energy_source for row in measured if row.energy_j_per_image is None
    ):
        console.print(Text(f"J/image n/a: {reason}", style="dim"))
    console.print(Text("\nThe command that measures each cell again", style="bold"))
    for row in cells:
        console.print(Text(row.command), soft_wrap=True)


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Row], cells: Callable[[Row], list[str]]
) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1),
    )
    table.add_column("cell", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(Text(_cell(row)), *cells(row)[: len(columns)])
    return table


def _cell(row: Row) -> str:
    parts = [
        row.model,
        row.runner,
        *([row.device] if row.device != CPU else []),
        row.precision,
        f"b{row.batch}",
    ]
    if row.streams > 1:
        parts.append(f"{row.streams} streams")
    if row.timing != HOST_TO_HOST:
        parts.append(row.timing)
    parts += row.options.option_titles
    if row.states_seen > 1 and row.state_hop_ns is not None:
        parts.append(f"hop {row.state_hop_ns:.0f} ns")
    return " ".join(parts)


def _percentiles(row: Row) -> list[str]:
    return [
        str(row.samples),
        _interval(row.p50_ms, row.p50_low_ms, row.p50_high_ms, None),
        _interval(row.p90_ms, row.p90_low_ms, row.p90_high_ms, row.p90_samples_needed),
        _interval(row.p95_ms, row.p95_low_ms, row.p95_high_ms, row.p95_samples_needed),
        _interval(row.p99_ms, row.p99_low_ms, row.p99_high_ms, row.p99_samples_needed),
        _interval(row.p999_ms, row.p999_low_ms, row.p999_high_ms, row.p999_samples_needed),
        _form(row.device_p50_ms, "{:.3g}"),
    ]


def _interval(
    value: float | None, low: float | None, high: float | None, needed: int | None
) -> str:
    if value is None:
        return f"needs {needed}" if needed else "n/a"
    return (
        f"{value:.3g} ({low:.3g}–{high:.3g})"
        if low is not None and high is not None
        else f"{value:.3g}"
    )


def _start_up(row: Row) -> list[str]:
    seconds = (row.cold_start_s, row.start_s, row.import_s, row.load_s, row.compile_s)
    return [*(_form(value, "{:.2f}") for value in seconds), _form(row.first_inference_ms, "{:.1f}")]


def _memory(row: Row) -> list[str]:
    phases = (
        row.baseline_memory_mib,
        row.imported_memory_mib,
        row.loaded_memory_mib,
        row.compiled_memory_mib,
        row.first_inference_memory_mib,
        row.peak_memory_mib,
        row.steady_peak_memory_mib,
        row.steady_pss_mib,
        row.device_memory_mib,
    )
    return [
        *(_form(value, "{:.0f}") for value in phases),
        _form(row.memory_per_image_mib, "{:.1f}"),
    ]


def _around(row: Row) -> list[str]:
    return [
        _form(row.state_hop_ns, "{:.0f}"),
        str(row.launches),
        str(row.launches_left_out),
        str(row.launches_flipped),
        _form(row.warm_up_calls, "{}"),
        _form(row.foreign_cpu_share, "{:.1%}"),
        _form(row.steal_share, "{:.1%}"),
        _form(row.switches_per_call, "{:.1f}"),
        _form(row.energy_j_per_image, "{:.3g}"),
    ]


def _roofline(row: Row) -> list[str]:
    return [
        _form(row.bound_ms, "{:.3g}"),
        row.bound_limited_by or NOTHING,
        _form(row.times_bound, "{:.3g}"),
        _form(row.unfused_ms, "{:.3g}"),
        _form(None if row.moved_bytes is None else row.moved_bytes / 1e6, "{:.1f}"),
        _form(row.achieved_gflops, "{:.0f}"),
    ]


def _gpu(row: Row) -> list[str]:
    slowed = row.gpu_throttle_reasons
    return [
        _form(row.gpu_sm_clock_mhz, "{:.0f}"),
        _form(row.gpu_memory_clock_mhz, "{:.0f}"),
        _form(row.gpu_temperature_c, "{:.0f}"),
        _form(row.gpu_power_w, "{:.0f}"),
        NOTHING if slowed is None else slowed or "nothing",
        _form(row.gpu_other_processes, "{}"),
        _form(row.gpu_graphics_processes, "{}"),
        _form(row.gpu_used_mib, "{:.0f}"),
        row.gpu_pcie or NOTHING,
        NOTHING if row.gpu_ecc is None else "on" if row.gpu_ecc else "off",
    ]


def _form(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)
