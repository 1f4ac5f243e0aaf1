"""What the machine gave to a run, in one line under its table."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.delivered import Delivered, Shares
from deploybench.analysis.visit_verdicts import WIDEST_INTERVAL

ALL_OF_IT = 0.99
"""More than this of its speed is all that a canary can tell."""
OWN_SPEED = 0.95
"""A machine that never delivered this much was not seen at its own speed."""
FASTER_THAN_KNOWN = 1.1
"""Single readings may be a little less than the least that is believed; not by more than this."""
SECONDS_PER_MINUTE = 60
LIMIT = f"±{WIDEST_INTERVAL:.1%}"


def delivered_lines(runs: Sequence[Delivered]) -> list[str]:
    """A line a run; with its name where there are several."""
    lines = []
    for run in runs:
        line = _line(run)
        if len(runs) > 1:
            line = f"{run.run}: {line}"
        lines.append(line)
    return lines


def _line(run: Delivered) -> str:
    speed = "Without a canary nobody knows how much of its own speed this machine delivered"
    if run.shares is not None:
        speed = _speed(run.shares, run.runs_remembered)
    if run.open_cells == 0:
        return f"{speed}."
    return f"{speed}: {_still_open(run)}."


def _speed(shares: Shares, runs_remembered: int) -> str:
    if shares.p10 >= ALL_OF_IT:
        speed = "This machine delivered all of its own speed"
    else:
        speed = (
            f"This machine delivered {min(shares.p50, 1):.0%} of its own speed on median "
            f"({min(shares.p10, 1):.0%} to {min(shares.p90, 1):.0%})"
        )
        if shares.most < OWN_SPEED:
            speed += f", at best {shares.most:.0%}"
    if shares.fastest > FASTER_THAN_KNOWN:
        speed += (
            f"; at times it was at {shares.fastest:.0%} of what is remembered of it, so its own "
            "speed is not known yet"
        )
    elif runs_remembered == 1:
        # What one run saw at best may itself be slow.
        speed += ", as far as this one run can tell"
    return speed


def _still_open(run: Delivered) -> str:
    """Which rows are not known closely enough, and what would do."""
    rows = "rows are"
    if run.cells == 1:
        rows = "row is"
    elif run.open_cells == 1:
        rows = "rows is"
    text = f"{run.open_cells} of {run.cells} {rows} not known within {LIMIT}"
    if run.more_minutes is None:
        return f"{text}; only a quieter machine would do"
    text = f"{text}; about {_duration(run.more_minutes)} more would do"
    if run.beyond_time:
        text += f" for all but {run.beyond_time}, which need a quieter machine"
    return text


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * SECONDS_PER_MINUTE:.0f} seconds"
    if round(minutes) == 1:
        return "1 minute"
    return f"{minutes:.0f} minutes"
