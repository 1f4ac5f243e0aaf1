"""What a run by visits tells after a look at its cells: how far each is, and how long it takes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploybench.analysis.visit_progress import seconds_left
from deploybench.measure.visit_plan import VisitRule
from deploybench.results.visit import CanaryBest
from deploybench.runs.events import CellLook, VisitsMade
from deploybench.telemetry.trace import Trace


def visits_made(
    rounds: int, looks: Sequence[CellLook], rule: VisitRule, spent_s: float, delivered: float | None
) -> VisitsMade:
    """The event after that many rounds, ``spent_s`` seconds after the first process was started."""
    known = 0
    left_s = 0.0
    for look in looks:
        if look.widths.narrow(rule.half_width):
            known += 1
            continue
        needed_s = seconds_left(look.widths, rule.half_width, spent_s)
        left_s = max(left_s, math.inf if needed_s is None else needed_s)
    return VisitsMade(
        rounds=rounds,
        known=known,
        cells=len(looks),
        left_s=min(left_s, rule.budget_s - spent_s),
        wanted=rule.half_width,
        budget_s=rule.budget_s,
        delivered=delivered,
        looks=tuple(looks),
    )


def delivered_now(trace: Trace, best: CanaryBest | None) -> float | None:
    """The share of its own speed that the machine delivers now; None where no canary was read."""
    reading = trace.latest()
    if best is None or reading is None:
        return None
    return best.delivered(reading)
