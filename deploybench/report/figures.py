"""How figures and verdicts are written, once for all tables."""

from __future__ import annotations

import math

from deploybench.report.table import NOTHING, Style
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Answer
from deploybench.statistics.samples import half_width

MIB = 1 << 20
WIDEST_SHOWN = 1.0
"""An interval of more than ±100 % holds no information beyond that."""
TOO_WIDE = "wider than ±100 %"
WIDE = "wide"
"""The same where there is room for one word; the legend explains it."""

VERDICT_STYLES = {
    Verdict.VALID: Style.GOOD,
    Verdict.NOISY: Style.DOUBTFUL,
    Verdict.UNSTABLE: Style.DOUBTFUL,
    Verdict.DRIFTING: Style.DOUBTFUL,
    Verdict.SKIPPED: Style.FAINT,
    Verdict.INVALID: Style.BAD,
    Verdict.FAILED: Style.BAD,
}
ANSWER_STYLES = {
    Answer.FASTER: Style.GOOD,
    Answer.SLOWER: Style.BAD,
    Answer.SAME: Style.PLAIN,
    Answer.AMBIGUOUS: Style.DOUBTFUL,
}
AMBIGUOUS_MARK = "?"
AT_LEAST = "≥"
"""Before a figure of MACs to which an operator that no formula knows may add."""
CAUSES = {
    Verdict.DRIFTING: "the machine changed speed while they ran",
    Verdict.NOISY: "other work on the machine disturbed them",
    Verdict.UNSTABLE: "their launches are too few, or do not agree closely enough",
}
"""What a verdict says of measurements, for people who do not know the word."""
CAUSES_OF_VISITS = {
    Verdict.DRIFTING: "their times moved in the course of the run",
    Verdict.NOISY: "other work on the machine disturbed their visits",
    Verdict.UNSTABLE: "their visits are too few, or do not agree closely enough",
}
"""The same of cells whose processes were visited."""


def form(value: float | None, pattern: str) -> str:
    """The value as ``pattern`` writes it, or a dash."""
    if value is None:
        return NOTHING
    return pattern.format(value)


def three_digits(value: float | None) -> str:
    """Three significant digits, without an exponent."""
    if value is None:
        return NOTHING
    if value >= 99.95:
        return f"{value:.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}"


def four_digits(value: float | None) -> str:
    """Four significant digits, as far as there are that many before the point."""
    if value is None:
        return NOTHING
    before_the_point = math.floor(math.log10(value))
    return f"{value:.{max(3 - before_the_point, 0)}f}"


def short_width(value: float, low: float, high: float) -> str:
    """The farther end of an interval from its centre, in percent; one word beyond ±100 %."""
    width = half_width(value, low, high)
    if width > WIDEST_SHOWN:
        return WIDE
    return f"{100 * width:.1f}%"


def answer_mark(answer: Answer | None) -> str:
    """FASTER, SLOWER or SAME; a question mark where the answer is not known."""
    if answer is None or answer is Answer.AMBIGUOUS:
        return AMBIGUOUS_MARK
    return str(answer.value)


def yes_or_no(good: bool) -> str:
    if good:
        return "yes"
    return "no"


def good_or_bad(good: bool) -> Style:
    if good:
        return Style.GOOD
    return Style.BAD
