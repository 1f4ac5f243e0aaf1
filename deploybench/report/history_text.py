"""The history of cells in a terminal: the answer in a sentence, a chart of characters, and what
changed beside each change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deploybench.archive.history import History, LevelChange, Series
from deploybench.plurals import counted
from deploybench.report.figures import four_digits
from deploybench.report.table import Prose, Report, Style, Table
from deploybench.statistics.changes import FEWEST

HEIGHT = 8
WIDTH = 72
"""Lines and columns of a chart."""
MARK, WEAK, RISE = "•", "◦", "┊"
"""A VALID record, one that is NOISY, and where a level ends."""
FLAT = 0.005
"""Of its level, from the lowest line to the highest, where the times are all the same."""
OF_COLUMN = "a column of the chart is one record, or the median of several that follow each other"
LEGEND = (
    "undisturbed p50 of each record over time; • VALID, ◦ NOISY; ┊ a change of level. A change is "
    "found by a rank statistic and permutations of the series: of series without one at most 1 in "
    "100 has one when it is looked at once. Its interval spans the shift of whole runs"
)


def history_report(history: History, limit: int | None = None) -> Report:
    """The series, those with a change first; ``limit`` of them are shown."""
    shown = history.series if limit is None else history.series[:limit]
    sections: list[Table | Prose] = []
    for series in shown:
        sections += _sections(series)
    if len(shown) < len(history.series):
        more = len(history.series) - len(shown)
        words = f"{counted(more, 'further series', 'further series')}: --limit shows more"
        sections.append(Prose((words,), Style.FAINT))
    sections.append(Prose((LEGEND,), Style.FAINT))
    return Report(tuple(sections), [_data(series) for series in history.series])


def _sections(series: Series) -> list[Prose]:
    heading = Prose((_answer(series),), Style.STRONG, title=_title(series))
    sections = [heading]
    for change in series.changes:
        sections.append(Prose(tuple(_change_lines(change))))
    if len(series.points) > 1:
        sections.append(Prose(tuple(_chart(series)), verbatim=True))
    about = _about(series)
    if about:
        sections.append(Prose((about,), Style.FAINT))
    return sections


def _title(series: Series) -> str:
    parts = [f"{series.title}, weights {series.weights}, on {series.profile} ({series.host})"]
    if series.environment:
        parts.append(f"with {series.environment}")
    return " ".join(parts)


def _answer(series: Series) -> str:
    """What became of the cell, in a sentence."""
    count = len(series.points)
    if not series.enough:
        return (
            f"not known: {counted(count, 'record')} with a number, and {FEWEST} are needed to tell "
            f"a change from the shift of whole runs: run it {FEWEST - count} times more"
        )
    if series.changes:
        newest = series.changes[-1]
        return (
            f"{_became(newest)} since {newest.point.moment:%Y-%m-%d %H:%M} (run {newest.point.run})"
        )
    scatter = _scatter(series)
    return f"no change of level in {counted(count, 'record')}; runs scatter by ±{scatter:.1%}"


def _became(change: LevelChange) -> str:
    step = change.step
    if step.factor > 1:
        return (
            f"slower by {step.factor - 1:.1%} ({_signed(step.low - 1)} to {_signed(step.high - 1)})"
        )
    return (
        f"faster: the time fell by {1 - step.factor:.1%} "
        f"({_signed(step.low - 1)} to {_signed(step.high - 1)})"
    )


def _signed(share: float) -> str:
    return f"{share:+.1%}"


def _change_lines(change: LevelChange) -> list[str]:
    point, before, after = change.point, change.before, change.after
    lines = [
        f"{point.moment:%Y-%m-%d %H:%M}: {_became(change)}, {change.step.coverage:.0%} interval, "
        f"p = {change.p:.4f}; with 95 % between run {before.run} ({four_digits(before.p50_ms)} ms) "
        f"and run {after.run} ({four_digits(after.p50_ms)} ms)"
    ]
    if change.beside:
        lines += [f"  beside it: {words}" for words in change.beside]
    else:
        lines.append("  beside it: nothing that a record holds changed")
    return lines


def _about(series: Series) -> str:
    words = []
    if series.left_out:
        left_out = ", ".join(f"{number} {verdict}" for verdict, number in series.left_out.items())
        words.append(f"left out: {left_out}")
    if series.small:
        words.append(f"{counted(series.small, 'smaller change')} within the margin")
    if len(series.points) > WIDTH:
        words.append(OF_COLUMN)
    return "; ".join(words)


def _scatter(series: Series) -> float:
    """Half of what 95 % of the records lie within, as a share."""
    logs = sorted(math.log(point.p50_ms) for point in series.points)
    cut = int(len(logs) * 0.025)
    return math.expm1((logs[len(logs) - 1 - cut] - logs[cut]) / 2)


def _chart(series: Series) -> list[str]:
    """The records from left to right, one a column while there is room."""
    columns = _columns(len(series.points))
    times = [_median([series.points[place].p50_ms for place in places]) for places in columns]
    low, high = min(times), max(times)
    room = FLAT * low - (high - low)
    if room > 0:
        low, high = low - room / 2, high + room / 2
    begins = {change.index for change in series.changes}
    lines = [[" "] * len(columns) for _ in range(HEIGHT)]
    for column, places in enumerate(columns):
        if begins & set(places):
            for line in lines:
                line[column] = RISE
        height = round((times[column] - low) / (high - low) * (HEIGHT - 1))
        valid = all(series.points[place].verdict == "VALID" for place in places)
        lines[HEIGHT - 1 - height][column] = MARK if valid else WEAK
    labels = [""] * HEIGHT
    labels[0], labels[-1] = f"{four_digits(high)} ms", f"{four_digits(low)} ms"
    margin = max(map(len, labels))
    drawn = [
        f"{label:>{margin}} │{''.join(line)}".rstrip()
        for label, line in zip(labels, lines, strict=True)
    ]
    first, last = series.points[0].moment, series.points[-1].moment
    dates = f"{first:%Y-%m-%d}{last:%Y-%m-%d}"
    gap = max(len(columns) - len(dates), 1)
    drawn.append(f"{'':>{margin}} └{'─' * max(len(columns), len(dates) + gap)}")
    drawn.append(f"{'':>{margin}}  {first:%Y-%m-%d}{' ' * gap}{last:%Y-%m-%d}")
    return drawn


def _columns(count: int) -> list[range]:
    """Which records are in each column: as many in each as need be, in order."""
    each = -(-count // WIDTH)
    return [range(start, min(start + each, count)) for start in range(0, count, each)]


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _data(series: Series) -> Mapping[str, Any]:
    """The series as a program reads it."""
    return {
        "cell": series.title,
        "weights": series.weights,
        "profile": series.profile,
        "host": series.host,
        "environment": series.environment,
        "answer": "not known"
        if not series.enough
        else "changed"
        if series.changes
        else "no change",
        "records": len(series.points),
        "left_out": dict(series.left_out),
        "smaller_changes": series.small,
        "changes": [_change_data(change) for change in series.changes],
        "points": [
            {
                "created_utc": point.moment.isoformat(),
                "run": point.run,
                "verdict": point.verdict,
                "p50_ms": point.p50_ms,
            }
            for point in series.points
        ],
    }


def _change_data(change: LevelChange) -> Mapping[str, Any]:
    return {
        "since_utc": change.point.moment.isoformat(),
        "since_run": change.point.run,
        "surely_after_run": change.before.run,
        "surely_by_run": change.after.run,
        "index": change.index,
        "time_factor": change.step.factor,
        "time_factor_low": change.step.low,
        "time_factor_high": change.step.high,
        "coverage": change.step.coverage,
        "p": change.p,
        "beside": list(change.beside),
    }
