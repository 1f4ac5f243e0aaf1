"""The gate: has any cell become slower than the user accepts?

Each cell is judged in each state of the machine that it was measured in. The slowdown is candidate
time / baseline time, with its 95 % interval. PASS when the whole interval is at or below 1 + the
limit, REGRESSION when the whole interval is above, INCONCLUSIVE otherwise. Between runs a number is
judged only where the launches of both sides were VALID: the interval between runs assumes that
launches differ by chance alone, which is not so while the machine drifts or other work disturbs it.
A ratio that is paired by round need not be. Where the artifacts were to be compared and are the
same files, there is nothing to become slower. Without a baseline the gate cannot tell.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from deploybench.analysis.between_runs import LAUNCH_MEDIANS
from deploybench.analysis.comparison import Comparison, Status, what_settles
from deploybench.errors import EXIT_INCONCLUSIVE, EXIT_SOME_FAILED
from deploybench.plurals import counted
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Ratio
from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL


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
        """None where there is nothing to compare."""
        if self.row.ratio is None:
            return None
        return slowdown_of(self.row.ratio)


def slowdown_of(ratio: Ratio) -> Slowdown:
    """The ratio the other way round."""
    return Slowdown(1 / ratio.value, 1 / ratio.high, 1 / ratio.low)


def check_rows(rows: Sequence[Comparison], largest: float) -> list[Check]:
    """Judge every row; ``largest`` is the accepted slowdown: 0.05 lets a cell become 5 % slower.

    A state of the machine that was seen too rarely for an interval decides nothing when another
    state of the same cell was seen often enough.
    """
    decided = {row.cells for row in rows if _has_interval(row)}
    checks = []
    for row in rows:
        if row.ratio is not None and not _has_interval(row) and row.cells in decided:
            launches = counted(row.ratio.count, "launch", "launches")
            reason = f"state seen in {launches} only"
            checks.append(Check(row, Outcome.SKIPPED, reason))
        else:
            checks.append(_check(row, largest))
    return checks


class Judged(Protocol):
    """A row that the gate has judged: of times, or of accuracies."""

    @property
    def outcome(self) -> Outcome: ...


def outcome_of(checks: Sequence[Judged]) -> Outcome:
    """One outcome for all rows.

    REGRESSION when any row is one; else INCONCLUSIVE when any row is, or when none passed; else
    PASS.
    """
    return worst_of([check.outcome for check in checks])


def worst_of(outcomes: Collection[Outcome]) -> Outcome:
    """The same of outcomes."""
    if Outcome.REGRESSION in outcomes:
        return Outcome.REGRESSION
    if Outcome.INCONCLUSIVE in outcomes or Outcome.PASS not in outcomes:
        return Outcome.INCONCLUSIVE
    return Outcome.PASS


def summary_line(checks: Sequence[Check], largest: float) -> str:
    """The last line: the outcome and how many rows led to it."""
    counts = Counter(check.outcome for check in checks)
    judged = len(checks) - counts[Outcome.SKIPPED]
    passed = counts[Outcome.PASS]
    parts = []
    if counts[Outcome.REGRESSION]:
        parts.append(f"{counts[Outcome.REGRESSION]} regressed")
    if counts[Outcome.INCONCLUSIVE]:
        parts.append(f"{counts[Outcome.INCONCLUSIVE]} inconclusive")
    parts.append(f"{passed} of {judged} at most {percent(largest)} slower than the baseline")
    if counts[Outcome.SKIPPED]:
        parts.append(f"{counts[Outcome.SKIPPED]} passed over")
    return f"{outcome_of(checks).value}: {', '.join(parts)}"


def line_without_baseline(instead: str) -> str:
    """The only line where there is no baseline; ``instead`` says what there is.

    A first run and a mistyped path look alike, so this is no pass.
    """
    return (
        f"{Outcome.INCONCLUSIVE.value}: no baseline: {instead}; after a first run keep its records "
        f"as the baseline, else check the path"
    )


def percent(share: float) -> str:
    """0.05 as ``5 %``."""
    return f"{100 * share:.3g} %"


def _has_interval(row: Comparison) -> bool:
    """Whether there is an interval of the ratio that can be trusted."""
    ratio = row.ratio
    if ratio is None:
        return False
    return ratio.count >= FEWEST_FOR_INTERVAL and ratio.coverage >= CONFIDENCE


def _check(row: Comparison, largest: float) -> Check:
    if row.status is Status.ONLY_CANDIDATE:
        return Check(row, Outcome.SKIPPED, "new: the baseline does not have it")
    if row.status is Status.ONLY_BASELINE:
        return Check(row, Outcome.INCONCLUSIVE, "missing: the candidate does not have it")
    if row.status is Status.SAME_FILES:
        return Check(row, Outcome.PASS, row.reason)
    if row.status is Status.NO_NUMBER:
        return _check_without_number(row)
    if row.ratio is None:
        return Check(row, Outcome.INCONCLUSIVE, row.reason)
    return _check_ratio(row, row.ratio, largest)


def _check_without_number(row: Comparison) -> Check:
    """A candidate that no longer works is a regression.

    Nothing is known of one that could not be tried here.
    """
    baseline, candidate = row.baseline, row.candidate
    if baseline is None or candidate is None or baseline.verdict in WITHOUT_NUMBER:
        return Check(row, Outcome.SKIPPED, f"the baseline has no number: {row.reason}")
    if candidate.verdict in (Verdict.FAILED, Verdict.INVALID):
        return Check(row, Outcome.REGRESSION, f"the baseline has a number, the {row.reason}")
    return Check(row, Outcome.INCONCLUSIVE, row.reason)


def _check_ratio(row: Comparison, ratio: Ratio, largest: float) -> Check:
    slowdown = slowdown_of(ratio)
    words = f"{_signed(slowdown.value)} ({_signed(slowdown.low)} to {_signed(slowdown.high)})"
    # An interval decides once it is narrower than the distance of its centre from the limit; both
    # are ratios, so that distances are differences of logarithms.
    distance = abs(math.log1p(largest) - math.log(slowdown.value))
    settles = what_settles(row, distance)
    if not _has_interval(row):
        looks = counted(ratio.count, "visit gives", "visits give")
        if row.times == LAUNCH_MEDIANS:
            looks = counted(ratio.count, "launch gives", "launches give")
        reason = f"{looks} no 95 % interval; {settles}"
        return Check(row, Outcome.INCONCLUSIVE, reason)
    doubt = _doubt(row, ratio)
    if doubt is not None:
        return Check(row, Outcome.INCONCLUSIVE, f"{words}, but {doubt}")
    if slowdown.high <= 1 + largest:
        return Check(row, Outcome.PASS, words)
    if slowdown.low > 1 + largest:
        return Check(row, Outcome.REGRESSION, f"{words}, all of it above {percent(largest)}")
    reason = f"{words}, across the limit of {percent(largest)}; {settles}"
    return Check(row, Outcome.INCONCLUSIVE, reason)


def _doubt(row: Comparison, ratio: Ratio) -> str | None:
    """Why the ratio may not be judged: between two runs both sides have to be VALID."""
    if ratio.paired:
        return None
    for name, side in (("baseline", row.baseline), ("candidate", row.candidate)):
        if side is not None and side.verdict is not Verdict.VALID:
            return f"the {name} is {side.verdict.value}: {side.reason}"
    return None


def _signed(slowdown: float) -> str:
    """1.05 as ``+5.0%``."""
    change = round(slowdown - 1, 3)
    # Adding 0 turns -0.0 into 0.0, which has the sign of a slowdown that is none.
    return f"{change + 0.0:+.1%}"
