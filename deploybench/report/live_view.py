"""What a run shows of itself while it goes on: one frame that fits into a terminal.

Pure: a frame goes in, lines come out; nobody here knows a terminal, a clock or an event. All names
are made inert. Intervals are drawn on a logarithmic scale: a bar that has shrunk to its point is as
narrow as was wanted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from rich.cells import cell_len, chop_cells
from rich.text import Text

from deploybench.inert import inert, shortened
from deploybench.plurals import counted
from deploybench.report.figures import WIDE, WIDEST_SHOWN, four_digits
from deploybench.report.table import NOTHING

LEVELS = "▁▂▃▄▅▆▇█"
HALF_BAR = 6
"""Characters to each side of an interval's point, at its widest."""
WIDEST_DRAWN = 0.5
"""An interval of ±50 % and more has the longest bar."""
SPARKS = 24
"""Looks at the machine that its meter goes back: at 2 s each, most of a minute."""
QUIET, RESTLESS = 0.95, 0.8
"""Of its own speed: a machine that delivers more is quiet, one that delivers less is not."""
ABOUT = "≈"
"""Before a time that cannot be trusted yet."""
FEWEST_NAMED = 12
"""Columns that a name has at least; before it gets fewer, other columns go."""
FEWEST_ROWS = 3
"""Rows that are shown at least, however low the terminal is."""


class RowState(str, Enum):
    """Where a row stands; the words are those that the frame shows."""

    WAITING = "waiting"
    STARTING = "starting"
    STARTED = "started"
    MEASURING = "measuring"
    KNOWN = "known"
    SPENT = "time spent"
    FAILED = "failed"


STYLES = {
    RowState.WAITING: "dim",
    RowState.STARTING: "cyan",
    RowState.STARTED: "dim",
    RowState.MEASURING: "",
    RowState.KNOWN: "green",
    RowState.SPENT: "yellow",
    RowState.FAILED: "bold red",
}
SHOWN_FIRST = (
    RowState.STARTING,
    RowState.MEASURING,
    RowState.FAILED,
    RowState.SPENT,
    RowState.STARTED,
    RowState.WAITING,
    RowState.KNOWN,
)
"""Where there is no room for all rows: those that something happens to."""


@dataclass(frozen=True)
class LiveRow:
    """One cell. ``half_width`` is that of its time's interval, relative; ``looks`` are the visits
    or launches that it rests on. ``sure``: the time can be trusted by now, however wide it is."""

    name: str
    state: RowState = RowState.WAITING
    p50_ms: float | None = None
    half_width: float | None = None
    looks: int = 0
    sure: bool = True


@dataclass(frozen=True)
class LiveFrame:
    """All that is known now. ``delivered`` are shares of the machine's own speed, the newest last.

    ``wanted`` is the half-width (relative) at which a row is known, ``budget_s`` the time for all
    rows that are measured in turn now, and ``left_s`` what is left of it at most. ``ends`` is the
    time of day at which that would be over. ``skipped`` cells have no row.
    """

    rows: Sequence[LiveRow]
    round: int = 0
    gone_s: float = 0.0
    left_s: float | None = None
    budget_s: float | None = None
    ends: str = ""
    wanted: float | None = None
    delivered: Sequence[float] = ()
    canary: bool = True
    skipped: int = 0
    doing: str = ""


def frame_lines(frame: LiveFrame, width: int, height: int) -> list[Text]:
    """The frame in at most ``height`` lines of at most ``width`` columns, if there is room for the
    heading and three rows; the heading comes first."""
    head = [_title(frame), _time(frame)]
    if frame.wanted is not None:
        head.append(Text(_plan(frame)))
    head.append(_machine(frame, width))
    if frame.doing:
        head.append(Text(f"now      {inert(frame.doing)}", "dim"))
    lines = [_fitted(line, width) for line in head]
    room = max(height - len(lines) - 2, FEWEST_ROWS)
    rows = list(frame.rows)
    hidden: list[LiveRow] = []
    if len(rows) > room:
        rows, hidden = _most_telling(rows, room - 1)
    columns = _columns(rows, width, frame.wanted)
    lines.append(Text(""))
    lines.append(_line([column.heading for column in columns], columns, "dim"))
    for number, row in enumerate(rows):
        lines.append(
            _line([column.cells[number] for column in columns], columns, STYLES[row.state])
        )
    if hidden:
        lines.append(_fitted(Text(_told(hidden), "dim"), width))
    return lines


def _title(frame: LiveFrame) -> Text:
    known = sum(row.state is RowState.KNOWN for row in frame.rows)
    words = f"{known} of {counted(len(frame.rows), 'row')} known"
    if frame.skipped:
        words += f", {frame.skipped} skipped"
    text = Text("measuring", "bold")
    text.append(f" round {frame.round + 1}" if frame.round else "", "bold")
    text.append(f" · {words}", "")
    return text


def _time(frame: LiveFrame) -> Text:
    """What is gone, and what is left."""
    words = f"time     {clock(frame.gone_s)} gone"
    if frame.left_s is not None:
        words += f", at most {duration(frame.left_s)} left"
    if frame.ends:
        words += f" (until {frame.ends})"
    return Text(words)


def _plan(frame: LiveFrame) -> str:
    """What the time that is left follows from."""
    words = f"plan     until every interval is ±{100 * (frame.wanted or 0):.3g}%"
    if frame.budget_s is not None:
        words += f", or {duration(frame.budget_s)} are spent"
    return words


def _machine(frame: LiveFrame, width: int) -> Text:
    """The noise meter: what the machine delivers of its own speed, now and of late."""
    if not frame.delivered:
        if not frame.canary:
            return Text("machine  no canary tells its speed", "dim")
        return Text("machine  its speed is not known yet", "dim")
    now = frame.delivered[-1]
    style = "yellow"
    if now >= QUIET:
        style = "green"
    elif now < RESTLESS:
        style = "red"
    text = Text("machine  ")
    text.append(sparkline(frame.delivered[-min(SPARKS, max(width // 4, 1)) :]), style)
    text.append(f" {min(now, 1):.0%}", f"bold {style}")
    text.append(" of its own speed now")
    least, most = min(frame.delivered), max(frame.delivered)
    text.append(f"; {min(least, 1):.0%} to {min(most, 1):.0%} since it began", "dim")
    return text


def sparkline(shares: Sequence[float]) -> str:
    """A character each, from none of the speed (the lowest) to all of it: what a user compares is
    the height, so the scale does not follow the values."""
    highest = len(LEVELS) - 1
    return "".join(LEVELS[round(min(max(share, 0.0), 1.0) * highest)] for share in shares)


def interval_bar(half_width: float | None, wanted: float | None) -> str:
    """An interval around its point, in 13 characters: ``   ├──●──┤   ``; empty where there is none.

    Each further character to a side stands for the same factor, from the wanted width to ±50 %.
    """
    if half_width is None:
        return ""
    least = wanted or 0.01
    arm = 0
    if half_width > least:
        share = math.log(half_width / least) / math.log(max(WIDEST_DRAWN / least, 1 + least))
        arm = min(math.ceil(share * HALF_BAR), HALF_BAR)
    if arm == 0:
        return " " * HALF_BAR + "●"
    dashes = "─" * (arm - 1)
    return f"{' ' * (HALF_BAR - arm)}├{dashes}●{dashes}┤"


def clock(seconds: float) -> str:
    """A time that is known: 1:40, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """A time as coarse as it is told: 45 s, 3 min, 1 h 20 min."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def _most_telling(rows: Sequence[LiveRow], room: int) -> tuple[list[LiveRow], list[LiveRow]]:
    """The rows that are shown, in their order, and the others."""
    order = sorted(range(len(rows)), key=lambda index: SHOWN_FIRST.index(rows[index].state))
    chosen = set(order[:room])
    shown = [row for index, row in enumerate(rows) if index in chosen]
    return shown, [row for index, row in enumerate(rows) if index not in chosen]


def _told(hidden: Sequence[LiveRow]) -> str:
    counts = Counter(row.state for row in hidden)
    parts = [f"{counts[state]} {state.value}" for state in SHOWN_FIRST if counts[state]]
    return f"… and {counted(len(hidden), 'more row')}: {', '.join(parts)}"


@dataclass(frozen=True)
class _Column:
    heading: str
    cells: Sequence[str]
    width: int
    right: bool = False


def _columns(rows: Sequence[LiveRow], width: int, wanted: float | None) -> list[_Column]:
    """The columns that there is room for: the bar goes first, then the looks, then the name gives
    way."""
    names = [shortened(inert(row.name)) for row in rows]
    looks = [str(row.looks) if row.looks else NOTHING for row in rows]
    states = [row.state.value for row in rows]
    times = [_time_of(row) for row in rows]
    widths = [_percent(row.half_width) for row in rows]
    bars = [interval_bar(row.half_width, wanted) for row in rows]
    always = [
        _column("p50 ms", times, right=True),
        _column("±", widths, right=True),
    ]
    bar = _Column("interval", bars, 2 * HALF_BAR + 1)
    others = [_column("looks", looks, right=True), _column("state", states)]
    longest = max([cell_len("row"), *(cell_len(name) for name in names)])
    for optional in ([bar, *others], others, others[1:], []):
        chosen = [*always, *optional]
        room = width - sum(2 + column.width for column in chosen)
        if room >= min(longest, FEWEST_NAMED if not optional else max(FEWEST_NAMED, width // 3)):
            break
    room = min(longest, max(room, 1))
    return [_Column("row", [_cut(name, room) for name in names], room), *chosen]


def _column(heading: str, cells: Sequence[str], *, right: bool = False) -> _Column:
    width = max([cell_len(heading), *(cell_len(cell) for cell in cells)])
    return _Column(heading, cells, width, right)


def _time_of(row: LiveRow) -> str:
    if row.p50_ms is None:
        return NOTHING
    return f"{'' if row.sure else ABOUT}{four_digits(row.p50_ms)}"


def _percent(half_width: float | None) -> str:
    if half_width is None:
        return NOTHING
    if half_width > WIDEST_SHOWN:
        return WIDE
    return f"{100 * half_width:.1f}%"


def _line(cells: Sequence[str], columns: Sequence[_Column], style: str) -> Text:
    parts = []
    for cell, column in zip(cells, columns, strict=True):
        padding = " " * (column.width - cell_len(cell))
        parts.append(padding + cell if column.right else cell + padding)
    return Text("  ".join(parts).rstrip(), style, no_wrap=True, overflow="crop")


def _cut(text: str, width: int) -> str:
    """The text in so many columns: what tells names apart is mostly at both ends."""
    if cell_len(text) <= width:
        return text
    if width < 3:
        return chop_cells(text, width)[0] if width else ""
    head = chop_cells(text, width // 2)[0]
    tail = ""
    for character in reversed(text):
        if cell_len(head) + 1 + cell_len(character + tail) > width:
            break
        tail = character + tail
    return f"{head}…{tail}"


def _fitted(text: Text, width: int) -> Text:
    """In one line: what is too long ends in an ellipsis."""
    text.truncate(max(width, 1), overflow="ellipsis")
    text.no_wrap = True
    return text
