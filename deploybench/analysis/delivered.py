"""How much of its own speed the machine delivered during a run, and what more time would do.

Only of cells that were visited: a canary ran beside each visit (:mod:`deploybench.results.visit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.visit_estimates import share_delivered
from deploybench.analysis.visit_states import visit_states
from deploybench.analysis.visit_verdicts import WIDEST_INTERVAL
from deploybench.results.record import Record, StateSummary, Visited
from deploybench.statistics.dependence import FEWEST_INDEPENDENT
from deploybench.statistics.samples import half_width, nearest_rank

NS_PER_S = 1e9
SECONDS_PER_MINUTE = 60
MOST_MINUTES_ADVISED = 60.0
"""More time than this is no advice: the machine has to become quieter first."""


@dataclass(frozen=True)
class Shares:
    """Of the machine's own speed that it delivered: in a tenth of the readings less, half of them,
    all but a tenth. ``most`` is what counts as the best of the run, ``fastest`` its one fastest
    reading: it may be more than all, as a single reading is not believed."""

    p10: float
    p50: float
    p90: float
    most: float
    fastest: float


@dataclass(frozen=True)
class Delivered:
    """What the machine gave to one run.

    ``shares`` is None where no canary ran. ``runs_remembered`` is in how many runs its own speed
    was looked for. ``open_cells`` of ``cells`` are not known within
    :data:`~deploybench.analysis.visit_verdicts.WIDEST_INTERVAL`; ``beyond_time`` of these would not
    be after more time either: the machine was never at its own speed beside them, their time moved
    during the run, or nothing was measured. ``more_minutes`` of visits would do for the others:
    None where there are none, or where nobody would wait so long.
    """

    run: str
    shares: Shares | None
    runs_remembered: int
    cells: int
    open_cells: int
    beyond_time: int
    more_minutes: float | None


def delivered_of(records: Sequence[Record]) -> list[Delivered]:
    """One a run that has visits, in the order of the records."""
    by_run: dict[str, list[Record]] = {}
    for record in records:
        if record.visits:
            by_run.setdefault(record.run, []).append(record)
    return [_delivered(members) for members in by_run.values()]


def within_limit(state: StateSummary) -> bool:
    """Whether the undisturbed time is known as closely as VALID asks for."""
    if state.visited is None or not state.visited.known:
        return False
    return _half_width(state) <= WIDEST_INTERVAL


def _delivered(records: Sequence[Record]) -> Delivered:
    states: list[StateSummary] = []
    for record in records:
        if record.summary is not None:
            states += record.summary.states[:1]
    without_number = len(records) - len(states)
    still_open = [state for state in states if not within_limit(state)]
    in_time = [state for state in still_open if _narrows(state)]
    canaries = [record.canary for record in records if record.canary is not None]
    return Delivered(
        run=records[0].run,
        shares=_shares(records),
        runs_remembered=max((canary.runs for canary in canaries), default=0),
        cells=len(records),
        open_cells=len(still_open) + without_number,
        beyond_time=len(still_open) - len(in_time) + without_number,
        more_minutes=_more_minutes(records, in_time),
    )


def _shares(records: Sequence[Record]) -> Shares | None:
    shares = []
    best_shares = []
    for record in records:
        if record.canary is None:
            continue
        if record.canary.of_this_run is not None:
            best_shares.append(record.canary.delivered(record.canary.of_this_run))
        for state in visit_states(record.visits):
            for visit in state.visits:
                share = share_delivered(visit, record.canary)
                if share is not None:
                    shares.append(share)
    if not shares:
        return None
    shares.sort()
    return Shares(
        p10=nearest_rank(shares, 0.1),
        p50=nearest_rank(shares, 0.5),
        p90=nearest_rank(shares, 0.9),
        most=max(best_shares, default=shares[-1]),
        fastest=shares[-1],
    )


def _more_minutes(records: Sequence[Record], in_time: Sequence[StateSummary]) -> float | None:
    """Of visits to the open cells alone; those that are known need none."""
    visits = sum(_more_visits(state) for state in in_time)
    minutes = visits * _seconds_a_visit(records) / SECONDS_PER_MINUTE
    if minutes == 0 or minutes > MOST_MINUTES_ADVISED:
        return None
    return minutes


def _more_visits(state: StateSummary) -> float:
    """How many more visits would make the estimate of a cell narrow enough.

    As many calm ones among them as so far; an interval's width goes with 1 / sqrt(visits).
    """
    visited = state.visited
    assert visited is not None  # of a cell that was visited
    by_width = 1.0
    if state.p50_low_ms is not None and state.p50_high_ms is not None:
        by_width = (_half_width(state) / WIDEST_INTERVAL) ** 2
    return visited.visits * max(by_width - 1, _times_as_many(visited) - 1, 0)


def _times_as_many(visited: Visited) -> float:
    """How many times as many visits it takes until enough of those that decide are independent."""
    if visited.known:
        return 1
    deciding = visited.visits
    if visited.basis == "extrapolated":
        deciding = visited.calm_visits
    independent = visited.independent / visited.visits * deciding
    # They may depend on each other more than it seems: twice as many at least.
    return max(FEWEST_INDEPENDENT / max(independent, 1), 2)


def _narrows(state: StateSummary) -> bool:
    """Whether more visits would make the interval narrow: calm ones come, and nothing drifts."""
    visited = state.visited
    if visited is None:
        return False
    if visited.visits < FEWEST_INDEPENDENT:
        # So few neither show that calm ones never come, nor a drift.
        return True
    return visited.basis != "not seen" and visited.halves_agree


def _half_width(state: StateSummary) -> float:
    if state.p50_low_ms is None or state.p50_high_ms is None:
        return 1.0
    return half_width(state.p50_ms, state.p50_low_ms, state.p50_high_ms)


def _seconds_a_visit(records: Sequence[Record]) -> float:
    """Wall time, with the canary and the change from one process to the next."""
    visits = [visit for record in records for visit in record.visits]
    begin = min(visit.at_s for visit in visits)
    end = max(visit.at_s + visit.window_ns / NS_PER_S for visit in visits)
    return (end - begin) / len(visits)
