"""How each cell of the comparison table is written."""

from __future__ import annotations

from collections.abc import Callable, Collection

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
from deploybench.report.table import NOT_KNOWN, NOTHING, Style
from deploybench.results.cell import HOST_TO_HOST
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row
from deploybench.statistics.ratios import Answer
from deploybench.statistics.samples import CONFIDENCE

SATURATED = " ◂"
SIMULATED = "simulated"
MIXED = "~"
"""Before a time that is of no one state of the machine."""
WORKED_OUT = "≈"
"""Before an undisturbed time that no visit, or too few, showed."""
NOT_SEEN = ("extrapolated", "not seen")
"""What an undisturbed time may rest on that was not seen."""
UNEVEN = 1.5
"""A rate that differs from what the median call makes by more than this factor describes other
calls."""

Roofs = Collection[tuple[str, str]]


def streams_text(row: Row) -> str:
    """Empty for one stream, as usual."""
    if row.streams == 1:
        return ""
    return str(row.streams)


def timing_text(row: Row) -> str:
    """Empty for times from host to host, as usual."""
    if row.timing == HOST_TO_HOST:
        return ""
    return row.timing


def state_text(row: Row) -> str:
    """The state of the machine and how often it was met; empty where there was only one."""
    if row.states_seen < 2 or row.state_hop_ns is None or row.state_share is None:
        return ""
    return f"{row.state_hop_ns:.0f} ns {row.state_share:.0%}"


def p50_text(row: Row) -> str:
    if row.p50_ms is None and row.mixed_states_ms is not None:
        return f"{MIXED}{three_digits(row.mixed_states_ms)}"
    if worked_out(row):
        return f"{WORKED_OUT}{three_digits(row.p50_ms)}"
    return three_digits(row.p50_ms)


def worked_out(row: Row) -> bool:
    """Whether the undisturbed time follows from others instead of having been seen."""
    return row.p50_ms is not None and row.undisturbed_basis in NOT_SEEN


def half_width_text(row: Row) -> str:
    """The farther end of the interval from the median, in percent.

    Of an undisturbed time that is not known it is at least that.
    """
    if row.p50_ms is None or row.p50_low_ms is None or row.p50_high_ms is None:
        return NOTHING
    width = short_width(row.p50_ms, row.p50_low_ms, row.p50_high_ms)
    if row.undisturbed_known is False and width != WIDE:
        return f"{AT_LEAST}{width}"
    return width


def experienced_text(row: Row) -> str:
    return three_digits(row.experienced_p50_ms)


def p99_text(row: Row) -> str:
    if row.p99_ms is None and row.p50_ms is not None:
        return NOT_KNOWN
    return three_digits(row.p99_ms)


def rate_text(row: Row) -> str:
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


def memory_text(row: Row) -> str:
    return form(row.peak_memory_mib, "{:.0f}")


def energy_text(row: Row) -> str:
    if not row.energy_j_per_image:
        return ""
    return three_digits(row.energy_j_per_image)


def gflops_text(row: Row) -> str:
    figure = form(row.achieved_gflops, "{:.0f}")
    if row.macs_uncounted and row.achieved_gflops is not None:
        return f"{AT_LEAST} {figure}"
    return figure


def _trusted(row: Row, doubted: Roofs) -> bool:
    """Whether both the time and the peak that it is held against can be trusted."""
    return row.verdict is Verdict.VALID and (row.run, row.device) not in doubted


def share_of_peak_text(doubted: Roofs) -> Callable[[Row], str]:
    def write(row: Row) -> str:
        if row.achieved_gflops is None or row.peak_gflops is None:
            return NOTHING
        if row.share_of_peak is None or not _trusted(row, doubted):
            return NOT_KNOWN
        share = f"{100 * row.share_of_peak:.0f}%"
        if row.macs_uncounted:
            return f"{AT_LEAST} {share}"
        return share

    return write


def times_bound_text(doubted: Roofs) -> Callable[[Row], str]:
    def write(row: Row) -> str:
        if row.p50_ms is None or not row.bound_ms:
            return NOTHING
        if row.times_bound is None or not _trusted(row, doubted):
            return NOT_KNOWN
        return three_digits(row.times_bound)

    return write


def speedup_text(row: Row) -> str:
    """The speed-up with its interval and the answer."""
    return _ratio_text(
        row.speedup, row.speedup_low, row.speedup_high, row.speedup_coverage, row.speedup_answer
    )


def experienced_speedup_text(row: Row) -> str:
    """The same as the machine was."""
    return _ratio_text(
        row.experienced_speedup,
        row.experienced_speedup_low,
        row.experienced_speedup_high,
        row.experienced_speedup_coverage,
        row.experienced_speedup_answer,
    )


def _ratio_text(
    value: float | None,
    low: float | None,
    high: float | None,
    coverage: float | None,
    answer: Answer | None,
) -> str:
    """There is no interval while it would cover less than 95 %."""
    if value is None or low is None or high is None:
        return NOTHING
    if (coverage or 0) < CONFIDENCE:
        return f"{value:.2f} {AMBIGUOUS_MARK}"
    width = short_width(value, low, high)
    if width != WIDE:
        width = f"±{width}"
    return f"{value:.2f} {width} {answer_mark(answer)}"


def speedups_differ(row: Row) -> bool:
    """Whether contention slows the two by different amounts.

    Then the speed-up as met and the undisturbed one cannot both be the same number, or their
    answers are not the same.
    """
    if row.ranking_differs:
        return True
    met = (row.experienced_speedup_low, row.experienced_speedup_high)
    undisturbed = (row.undisturbed_speedup_low, row.undisturbed_speedup_high)
    if met[0] is None or met[1] is None or undisturbed[0] is None or undisturbed[1] is None:
        return False
    coverages = (row.experienced_speedup_coverage, row.undisturbed_speedup_coverage)
    if any((coverage or 0) < CONFIDENCE for coverage in coverages):
        return False
    return met[1] < undisturbed[0] or undisturbed[1] < met[0]


def verdict_text(row: Row) -> str:
    if row.provenance == SIMULATED:
        return f"{row.verdict.value} {SIMULATED}"
    return row.verdict.value


def verdict_style(row: Row) -> Style:
    if row.provenance == SIMULATED:
        return Style.MARKED
    return VERDICT_STYLES[row.verdict]
