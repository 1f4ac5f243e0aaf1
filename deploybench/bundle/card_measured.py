"""What a model card says of the measurements: figures with their intervals, verdicts, hosts."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.artifacts.artifact import Manifest
from deploybench.inert import fence_around, inert, plain_markdown
from deploybench.plurals import counted
from deploybench.results.cell import Cell
from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.rows.row import Row
from deploybench.rows.rows import rows_of
from deploybench.statistics.figures import Figure

NOT_MEASURED = "Not measured."
NO_INTERVAL = "no interval"
FIGURES = (
    ("top1", "top-1"),
    ("top5", "top-5"),
    ("exact_match", "all labels right"),
    ("balanced_accuracy", "balanced accuracy"),
    ("area", "area under the ROC curve"),
    ("calibration_error", "calibration error"),
)


def accuracy_lines(cell: Cell, quality: Sequence[Record]) -> list[str]:
    lines = []
    for record in quality:
        if record.quality is not None:
            lines += _quality_lines(cell, record, record.quality)
    return lines or [NOT_MEASURED]


def _quality_lines(cell: Cell, record: Record, found: Quality) -> list[str]:
    data = found.data
    on = f"on {counted(data.evaluated, 'image')} of {_safe(data.name)}"
    if data.split:
        on += f", split {_safe(data.split)}"
    lines = []
    for name, title in FIGURES:
        figure = getattr(found.figures, name, None)
        if figure is not None:
            lines.append(f"- {title}: {figure_text(figure)} {on}")
    if found.eager is not None:
        agreement = found.eager.agreement
        lines.append(f"- answers as fp32 eager's: {figure_text(agreement.top1)} {on}")
        difference = found.eager.difference
        if difference is not None:
            points = [100 * value for value in (difference.value, difference.low, difference.high)]
            lines.append(
                f"- accuracy less fp32 eager's: {points[0]:+.2f} points "
                f"({points[1]:+.2f} to {points[2]:+.2f})"
            )
    if data.synthetic:
        lines.append(f"- the images are made, not photographed: {_safe(data.synthetic)}")
    other = record.cell
    if (other.runner, other.precision) != (cell.runner, cell.precision):
        lines.append(f"- evaluated on {_safe(other.runner)} in {_safe(other.precision)}")
    return lines


def figure_text(figure: Figure) -> str:
    """``71.3 % (70.1 to 72.4)``."""
    text = f"{100 * figure.value:.1f} %"
    if figure.low is None or figure.high is None:
        return f"{text} ({NO_INTERVAL})"
    return f"{text} ({100 * figure.low:.1f} to {100 * figure.high:.1f})"


def time_lines(measured: Sequence[Record]) -> list[str]:
    lines = []
    for row in rows_of(measured):
        lines += _row_lines(row)
    return lines or [NOT_MEASURED]


def _row_lines(row: Row) -> list[str]:
    call = f"a call of {counted(row.batch, 'image')}, {_safe(row.timing)}"
    lines = [f"- verdict: {row.verdict.value}. {_safe(row.reason)}"]
    if row.p50_ms is not None:
        what = "undisturbed latency" if row.visits else "latency"
        interval = interval_text(row.p50_low_ms, row.p50_high_ms)
        lines.append(f"- median {what} of {call}: {row.p50_ms:.3g} ms ({interval})")
    if row.experienced_p50_ms is not None:
        interval = interval_text(row.experienced_p50_low_ms, row.experienced_p50_high_ms)
        lines.append(f"- as experienced: {row.experienced_p50_ms:.3g} ms ({interval})")
    if row.p99_ms is not None:
        interval = interval_text(row.p99_low_ms, row.p99_high_ms)
        lines.append(f"- 99th percentile: {row.p99_ms:.3g} ms ({interval})")
    if row.throughput_images_per_s is not None:
        lines.append(f"- throughput: {row.throughput_images_per_s:.3g} images/s")
    if row.steady_peak_memory_mib is not None:
        lines.append(
            f"- memory above a bare interpreter: {row.steady_peak_memory_mib:.0f} MiB, the most "
            "while calls were timed (no interval)"
        )
    if row.cold_start_s is not None:
        lines.append(f"- from the start of a process to the first answer: {row.cold_start_s:.2g} s")
    if row.cached_start_s is not None:
        lines.append(f"- the same where a cache holds what is compiled: {row.cached_start_s:.2g} s")
    return lines


def interval_text(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return NO_INTERVAL
    return f"{low:.3g} to {high:.3g}"


def host_lines(records: Sequence[Record]) -> list[str]:
    """Every host once."""
    lines: dict[str, None] = {}
    for record in records:
        host = record.host
        words = [
            _safe(host.cpu_model),
            counted(host.usable_cores, "core"),
            f"{host.memory_bytes / 2**30:.0f} GiB",
            _safe(host.os),
            f"Python {_safe(host.python)}",
        ]
        if host.virtual_machine:
            words.append("a virtual machine")
        if record.pinned is not None:
            words.append(f"processes kept on CPUs {', '.join(map(str, record.pinned))}")
        lines.setdefault(f"- {', '.join(words)}")
    return list(lines)


def repeat_lines(manifest: Manifest, records: Sequence[Record]) -> list[str]:
    """The commands, as code: nothing in them is Markdown."""
    commands = dict.fromkeys([manifest.command, *(record.command for record in records)])
    shown = [inert(command) for command in commands]
    fence = fence_around(shown)
    return [fence, *shown, fence]


def _safe(text: str) -> str:
    return plain_markdown(inert(text))
