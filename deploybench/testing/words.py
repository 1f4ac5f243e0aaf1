"""What a test says that fails: the figures, what was accepted, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.amounts import Quantity
from deploybench.analysis.constraints import Fit, Judged
from deploybench.analysis.gate import Check, Outcome, percent
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record

UNITS = {
    Quantity.P50: ("ms", 1.0),
    Quantity.P99: ("ms", 1.0),
    Quantity.THROUGHPUT: ("images/s", 1.0),
    Quantity.MEMORY: ("MB", float(1 << 20)),
    Quantity.SIZE: ("MB", float(1 << 20)),
}


def title(record: Record) -> str:
    return record.cell.title()


def refused(error: DeployBenchError) -> str:
    lines = [f"refused: {error.found}"]
    if error.expected:
        lines.append(f"  expected: {error.expected}")
    if error.action:
        lines.append(f"  do: {error.action}")
    return "\n".join(lines)


def measured(record: Record) -> str:
    """One line: the median with its interval, and the verdict."""
    verdict = record.judgement.verdict.value
    if record.summary is None or not record.summary.states:
        return f"{title(record)}: {verdict}: {record.judgement.reason}"
    state = record.summary.states[0]
    interval = ""
    if state.p50_low_ms is not None and state.p50_high_ms is not None:
        interval = f" ({state.p50_low_ms:.4g} to {state.p50_high_ms:.4g})"
    return f"{title(record)}: p50 {state.p50_ms:.4g} ms{interval}, {verdict}"


def not_valid(record: Record) -> str:
    judgement = record.judgement
    lines = [f"{title(record)} is {judgement.verdict.value}: {judgement.reason}"]
    if record.summary is not None:
        lines.append(f"  {measured(record)}")
    if judgement.advice:
        lines.append(f"  do: {judgement.advice}")
    return "\n".join(lines)


def without_baseline(found: str) -> str:
    return (
        f"there is no baseline: {found}\n"
        "  do: pytest --deploybench-keep keeps what it measures as the baseline"
    )


def limits_text(record: Record, judged: Sequence[Judged]) -> str:
    """The limits that are missed or not known first, each with the figure."""
    order = (Fit.FAILS, Fit.NOT_KNOWN, Fit.MEETS)
    lines = [title(record)]
    for one in sorted(judged, key=lambda one: order.index(one.fit)):
        unit, scale = UNITS[one.constraint.quantity]
        word = "at least" if one.constraint.quantity.more_is_better else "at most"
        asked = f"{word} {one.constraint.limit / scale:.4g} {unit}"
        amount = one.amount
        found = "no figure"
        if amount.value is not None:
            found = f"{amount.value / scale:.4g} {unit}"
        if amount.low is not None and amount.high is not None and amount.low != amount.high:
            found += f" (95 % interval {amount.low / scale:.4g} to {amount.high / scale:.4g})"
        doubt = f"; {amount.doubt}" if amount.doubt else ""
        name = one.constraint.quantity.value
        lines.append(f"  {one.fit.value}: {name} {found}, asked for: {asked}{doubt}")
    if any(one.fit is Fit.NOT_KNOWN for one in judged):
        lines.append("  do: a larger budget, or a quieter machine, narrows the interval")
    return "\n".join(lines)


def check_line(check: Check) -> str:
    """One line of the session's summary."""
    return f"gate {check.outcome.value}: {check.reason}"


def gate_text(checks: Sequence[Check], outcome: Outcome, largest: float, address: str) -> str:
    """All that is known of each row that decided against the cell, or did not decide."""
    lines = [f"{outcome.value} against {address}, at most {percent(largest)} slower is accepted"]
    for check in checks:
        if check.outcome in (Outcome.PASS, Outcome.SKIPPED):
            continue
        row = check.row
        lines.append(f"  {row.cells[-1].title()}")
        slowdown = check.slowdown
        if slowdown is not None:
            lines.append(
                f"    slowdown  {slowdown.value:.3f} (95 % interval {slowdown.low:.3f} to "
                f"{slowdown.high:.3f}), accepted up to {1 + largest:.4g}"
            )
        for name, side in (("baseline", row.baseline), ("candidate", row.candidate)):
            if side is not None:
                time = "no time" if side.p50_ms is None else f"{side.p50_ms:.4g} ms"
                lines.append(f"    {name:<9} {time}, {side.verdict.value}, run {side.run}")
        if row.ratio is not None:
            how = "between two runs"
            if row.ratio.paired:
                how = "beside each other in one run"
            lines.append(f"    measured  {how}")
        lines.append(f"    reason    {check.reason}")
        lines += [f"    note      {note}" for note in row.notes]
    return "\n".join(lines)
