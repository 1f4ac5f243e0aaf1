"""The gate: has any cell become slower than the user accepts? Each cell is judged in each state of
the machine.

The slowdown is candidate time / baseline time, with its 95 % interval. PASS when the whole interval
is at or below 1 + the limit, REGRESSION when the whole interval is above, INCONCLUSIVE otherwise.
Between runs a number is judged only where the launches of both sides were VALID: the interval
between runs assumes that launches differ by chance alone, which is not so while the machine drifts
or other work disturbs it. Paired by round it need not be. Without a baseline the gate cannot tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from deploybench.analysis.comparison import Comparison, Status, what_settles
from deploybench.errors import EXIT_INCONCLUSIVE, EXIT_SOME_FAILED
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Ratio
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL


class Outcome(str, Enum):
    """What the gate says of a row; SKIPPED rows decide nothing."""

    PASS = "PASS"
    REGRESSION = "REGRESSION"
    INCONCLUSIVE = "INCONCLUSIVE"
    SKIPPED = "SKIPPED"


WITHOUT_NUMBER = (Verdict.FAILED, Verdict.INVALID, Verdict.SKIPPED)
EXIT_CODES = {
    Outcome.PASS: 0,
    Outcome.REGRESSION: EXIT_SOME_FAILED,
    Outcome.INCONCLUSIVE: EXIT_INCONCLUSIVE,
}


@dataclass(frozen=True)
class Slowdown:
    """Candidate time / baseline time with its interval; above 1 the candidate is slower."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """A row of the comparison with what the gate says of it, and why."""

    row: Comparison
    outcome: Outcome
    reason: str

    @property
    def slowdown(self) -> Slowdown | None:
        return slowdown_of(self.row.ratio) if self.row.ratio else None


def slowdown_of(ratio: Ratio) -> Slowdown:
    """The ratio the other way round."""
    return Slowdown(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def check_rows(rows: Sequence[Comparison], largest: float) -> list[Check]:
    """Judge every row; ``largest`` is the accepted slowdown: 0.05 lets a cell become 5 % slower.

    A state of the machine that was seen too rarely for an interval decides nothing when another
    state of the same cell was seen often enough.
    """
    decided = {
        row.cells
        for row in rows
        if row.ratio is not None and row.ratio.count >= FEWEST_FOR_INTERVAL
    }
    checks = []
    for row in rows:
        if row.ratio is not None and row.ratio.count < FEWEST_FOR_INTERVAL and row.cells in decided:
            checks.append(
                Check(row, Outcome.SKIPPED, f"state seen in {row.ratio.count} launches only")
            )
        else:
            checks.append(_check(row, largest))
    return checks


def outcome_of(checks: Sequence[Check]) -> Outcome:
    """REGRESSION when any row is one; else INCONCLUSIVE when any row is, or when none passed; else
    PASS."""
    outcomes = {check.outcome for check in checks}
    if Outcome.REGRESSION in outcomes:
        return Outcome.REGRESSION
    if Outcome.INCONCLUSIVE in outcomes or Outcome.PASS not in outcomes:
        return Outcome.INCONCLUSIVE
    return Outcome.PASS


def summary_line(checks: Sequence[Check], largest: float) -> str:
    """The last line: the outcome and how many rows led to it."""
    counts = {outcome: sum(check.outcome is outcome for check in checks) for outcome in Outcome}
    judged = len(checks) - counts[Outcome.SKIPPED]
    parts = [
        f"{counts[Outcome.REGRESSION]} regressed" if counts[Outcome.REGRESSION] else "",
        f"{counts[Outcome.INCONCLUSIVE]} inconclusive" if counts[Outcome.INCONCLUSIVE] else "",
        f"{counts[Outcome.PASS]} of {judged} at most {percent(largest)} slower than the baseline",
        f"{counts[Outcome.SKIPPED]} passed over" if counts[Outcome.SKIPPED] else "",
    ]
    return f"{outcome_of(checks).value}: {', '.join(part for part in parts if part)}"


def line_without_baseline(found: str) -> str:
    """The only line where there is no baseline; ``found`` says what there is instead.

    A first run and a mistyped path look alike, so this is no pass.
    """
    return (
        f"{Outcome.INCONCLUSIVE.value}: no baseline: {found}; after a first run keep its records "
        f"as the baseline, else check the path"
    )


def percent(share: float) -> str:
    """0.05 as ``5 %``."""
    return f"{100 * share:.3g} %"


def _check(row: Comparison, largest: float) -> Check:
    if row.status is Status.ONLY_CANDIDATE:
        return Check(row, Outcome.SKIPPED, "new: the baseline does not have it")
    if row.status is Status.ONLY_BASELINE:
        return Check(row, Outcome.INCONCLUSIVE, "missing: the candidate does not have it")
    if row.status is Status.NO_NUMBER:
        return _check_without_number(row)
    if row.ratio is None:
        return Check(row, Outcome.INCONCLUSIVE, row.reason)
    return _check_ratio(row, row.ratio, largest)


def _check_without_number(row: Comparison) -> Check:
    """A candidate that no longer works is a regression; one that could not be tried here is not
    known."""
    baseline, candidate = row.baseline, row.candidate
    if baseline is None or candidate is None or baseline.verdict in WITHOUT_NUMBER:
        return Check(row, Outcome.SKIPPED, f"the baseline has no number: {row.reason}")
    if candidate.verdict in (Verdict.FAILED, Verdict.INVALID):
        return Check(row, Outcome.REGRESSION, f"the baseline has a number, the {row.reason}")
    return Check(row, Outcome.INCONCLUSIVE, row.reason)


def _check_ratio(row: Comparison, ratio: Ratio, largest: float) -> Check:
    found = slowdown_of(ratio)
    words = f"{_signed(found.value)} ({_signed(found.low)} to {_signed(found.high)})"
    settles = what_settles(row, abs(math.log1p(largest) - math.log(found.value)))
    if ratio.count < FEWEST_FOR_INTERVAL:
        return Check(
            row, Outcome.INCONCLUSIVE, f"{ratio.count} launches give no 95 % interval; {settles}"
        )
    if not ratio.paired:
        for name, side in (("baseline", row.baseline), ("candidate", row.candidate)):
            if side is not None and side.verdict is not Verdict.VALID:
                return Check(
                    row,
                    Outcome.INCONCLUSIVE,
                    f"{words}, but the {name} is {side.verdict.value}: {side.reason}",
                )
    if found.high <= 1 + largest:
        return Check(row, Outcome.PASS, words)
    if found.low > 1 + largest:
        return Check(row, Outcome.REGRESSION, f"{words}, all of it above {percent(largest)}")
    return Check(
        row, Outcome.INCONCLUSIVE, f"{words}, across the limit of {percent(largest)}; {settles}"
    )


def _signed(slowdown: float) -> str:
    return f"{round(slowdown - 1, 3) + 0.0:+.1%}"
