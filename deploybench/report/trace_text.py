"""One record as a picture of characters: how its times are spread, and how they went on.

The histogram is of calls; the trace is of visits in the order of time (of fresh launches: of their
calls), so that two levels, a drift and a process that is slower than the others can be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.visit_estimates import share_delivered
from deploybench.plurals import counted
from deploybench.report.figures import four_digits
from deploybench.report.table import Prose
from deploybench.results.record import Record
from deploybench.statistics.counted import Counted
from deploybench.statistics.samples import median

NS_PER_MS = 1e6
BARS = 14
"""Lines of the histogram."""
LONGEST_BAR = 48
HEIGHT = 10
WIDTH = 96
"""Lines and columns of the trace."""
TAIL = 0.01
"""So much at each end of the times has one bar for all of it, whatever it spans."""
FLAT = 0.001
"""From line to line of a trace whose times are all the same."""
EIGHTHS = " ▏▎▍▌▋▊▉█"
LEVELS = "▁▂▃▄▅▆▇█"
PROCESSES = "123456789abcdefghijklmnopqrstuvwxyz"
MANY = "+"
"""Stands for a process beyond these."""
CALL = "•"


@dataclass(frozen=True)
class Moment:
    """A time on the trace: its mark, and the share of its speed that the machine gave."""

    ms: float
    mark: str
    delivered: float | None = None


def trace_sections(record: Record) -> list[Prose]:
    """The histogram and the trace; none of a record without times."""
    if record.summary is None:
        return []
    times = _times(record)
    if not times:
        return []
    sections = [Prose(tuple(_histogram(times)), title=_histogram_title(times), verbatim=True)]
    moments = _of_visits(record) if record.visits else _of_calls(record)
    if len(moments) > 1:
        title = _trace_title(record, moments)
        sections.append(Prose(tuple(_trace(moments)), title=title, verbatim=True))
    return sections


def _times(record: Record) -> list[tuple[float, int]]:
    """Each time (ms) with how often it was met, the shortest first."""
    groups: list[Counted] = []
    if record.visits:
        groups = [visit.values_ns for visit in record.visits if visit.count]
    else:
        groups = [launch.steady_ns for launch in record.launches if launch.measured]
    pairs = []
    for group in groups:
        before = 0
        for value, upto in zip(group.values, group.upto, strict=True):
            pairs.append((value / NS_PER_MS, upto - before))
            before = upto
    return sorted(pairs)


def _histogram_title(times: Sequence[tuple[float, int]]) -> str:
    calls = sum(count for _, count in times)
    return f"How {counted(calls, 'call')} are spread, ms"


def _histogram(times: Sequence[tuple[float, int]]) -> list[str]:
    total = sum(count for _, count in times)
    first, last = _nth(times, TAIL * total), _nth(times, (1 - TAIL) * total)
    if last <= first:
        return [f"{four_digits(first)} in nearly all of {counted(total, 'call')}"]
    width = (last - first) / BARS
    counts = [0] * BARS
    before, after = 0, 0
    for value, count in times:
        if value < first:
            before += count
        elif value > last:
            after += count
        else:
            # The last value belongs to the last bar.
            counts[min(int((value - first) / width), BARS - 1)] += count
    labelled = [(four_digits(first + number * width), count) for number, count in enumerate(counts)]
    if before:
        labelled.insert(0, (f"< {four_digits(first)}", before))
    if after:
        labelled.append((f"> {four_digits(last)}", after))
    most = max(count for _, count in labelled)
    margin = max(len(label) for label, _ in labelled)
    lines = []
    for label, count in labelled:
        lines.append(f"{label:>{margin}} │{_bar(count / most)} {count}".rstrip())
    return lines


def _nth(times: Sequence[tuple[float, int]], rank: float) -> float:
    """The time below which so many calls are."""
    seen = 0
    for value, count in times:
        seen += count
        if seen > rank:
            return value
    return times[-1][0]


def _bar(share: float) -> str:
    """A bar to an eighth of a character; what is there at all is seen."""
    eighths = round(share * LONGEST_BAR * 8)
    if share > 0:
        eighths = max(eighths, 1)
    whole, part = divmod(eighths, 8)
    return "█" * whole + EIGHTHS[part].strip()


def _of_visits(record: Record) -> list[Moment]:
    moments = []
    for visit in record.visits:
        if not visit.count:
            continue
        delivered = None
        if record.canary is not None:
            delivered = share_delivered(visit, record.canary)
        mark = MANY
        if visit.process < len(PROCESSES):
            mark = PROCESSES[visit.process]
        moments.append(Moment(visit.median_ns / NS_PER_MS, mark, delivered))
    return moments


def _of_calls(record: Record) -> list[Moment]:
    """The calls that are kept raw, launch after launch, after the warm-up of each."""
    moments = []
    for number, launch in enumerate(record.launches):
        mark = PROCESSES[number] if number < len(PROCESSES) else MANY
        for sample_ns in launch.samples_ns[launch.warm_up :]:
            moments.append(Moment(sample_ns / NS_PER_MS, mark))
    return moments


def _trace_title(record: Record, moments: Sequence[Moment]) -> str:
    of = "visits" if record.visits else "calls"
    title = f"How the {len(moments)} {of} went on, ms; a digit is a process"
    if any(moment.delivered is not None for moment in moments):
        title += "; below, the share of its speed that the machine gave"
    return title


def _trace(moments: Sequence[Moment]) -> list[str]:
    """The moments from left to right; where there are more than columns, the median of each few."""
    columns = _columns(moments)
    times = [column.ms for column in columns]
    low, high = min(times), max(times)
    step = (high - low) / (HEIGHT - 1) or FLAT * high
    grid = [[" "] * len(columns) for _ in range(HEIGHT)]
    for number, column in enumerate(columns):
        line = round((high - column.ms) / step)
        grid[min(line, HEIGHT - 1)][number] = column.mark
    labels = [""] * HEIGHT
    for line in (0, HEIGHT // 2, HEIGHT - 1):
        labels[line] = four_digits(high - step * line)
    margin = max(len(label) for label in labels)
    lines = []
    for label, row in zip(labels, grid, strict=True):
        lines.append(f"{label:>{margin}} │{''.join(row)}".rstrip())
    lines.append(f"{'':>{margin}} └{'─' * len(columns)}")
    shares = [column.delivered for column in columns]
    if any(share is not None for share in shares):
        lines += _machine_line(shares, margin)
    return lines


def _columns(moments: Sequence[Moment]) -> list[Moment]:
    each = -(-len(moments) // WIDTH)
    columns = []
    for start in range(0, len(moments), each):
        members = moments[start : start + each]
        middle = median([member.ms for member in members])
        marks = {member.mark for member in members}
        mark = members[0].mark if len(marks) == 1 else CALL
        known = [member.delivered for member in members if member.delivered is not None]
        columns.append(Moment(middle, mark, median(known) if known else None))
    return columns


def _machine_line(shares: Sequence[float | None], margin: int) -> list[str]:
    known = [share for share in shares if share is not None]
    low, high = min(known), max(known)
    span = high - low or 1.0
    text = ""
    for share in shares:
        if share is None:
            text += " "
        else:
            text += LEVELS[round((share - low) / span * (len(LEVELS) - 1))]
    return [f"{'':>{margin}}  {text}  {low:.0%} to {high:.0%}"]
