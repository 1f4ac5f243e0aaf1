"""How narrow the intervals of a cell are by now, and how long it takes until they are narrow.

Asked for after every round while a run goes on, so it looks at medians only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.visit_estimates import Estimate, estimate_of, series_of, usable
from deploybench.analysis.visit_ratios import (
    paired_logs,
    ratio_of_medians,
    ratio_of_pairs,
    settled,
)
from deploybench.analysis.visit_states import VisitState, visit_states, visits_in
from deploybench.results.visit import CanaryBest, Visit
from deploybench.statistics.adjust import FEWEST_CALM
from deploybench.statistics.dependence import FEWEST_INDEPENDENT, Centre, centre_of_logs
from deploybench.statistics.ratios import Ratio
from deploybench.statistics.samples import CONFIDENCE


@dataclass(frozen=True)
class VisitWidths:
    """Relative half-widths of the undisturbed time and of the speed-up over the baseline.

    None where there is no interval yet; of the speed-up also where there is no baseline.
    ``known`` says whether what there is can be trusted. ``grow`` is how many times the visits that
    there are it would take for that; None where it cannot be told: no visit was calm.
    ``time_ms`` is the undisturbed time itself, as far as it is told by now.
    ``process_shift`` is by how much (share) the processes of the cell differ beyond chance, and
    ``process_error`` the part of the half-width (share) that only more processes make narrower.
    """

    undisturbed_half_width: float | None
    speedup_half_width: float | None
    known: bool
    grow: float | None
    process_shift: float = 0.0
    process_error: float = 0.0
    time_ms: float | None = None

    def narrow(self, wanted: float) -> bool:
        """Whether all that there is is known, and no wider than ``wanted``."""
        if not self.known or self.undisturbed_half_width is None:
            return False
        if self.undisturbed_half_width > wanted:
            return False
        return self.speedup_half_width is None or self.speedup_half_width <= wanted


def widths(
    visits: Sequence[Visit],
    canary: CanaryBest | None,
    visits_of_baseline: Sequence[Visit] | None = None,
) -> VisitWidths:
    """The widths after these visits of a cell; ``visits_of_baseline`` are of the same rounds.

    They are None for a cell that is compared with none. They are of the state of the machine that
    stands for the cell, as in :func:`deploybench.analysis.visited.states_of_visits`.
    """
    found = _estimates(visits, canary)
    if not found:
        return VisitWidths(None, None, known=False, grow=None)
    state, estimate = min(found, key=_rank)
    grow = _until_known(estimate)
    undisturbed_half_width = _width(estimate.centre)
    shift = math.expm1(estimate.process_shift or 0.0)
    of_processes = math.expm1(estimate.process_error)
    time_ms = math.exp(estimate.centre.value)
    if visits_of_baseline is None:
        return VisitWidths(
            undisturbed_half_width, None, estimate.known, grow, shift, of_processes, time_ms
        )

    beside = usable(visits_in(visits_of_baseline, state.hop_ns), canary)
    logs = paired_logs(beside, state.visits)
    if len(logs) == 0:
        return VisitWidths(undisturbed_half_width, None, False, grow, shift, of_processes, time_ms)
    of_baseline = estimate_of(series_of(beside, canary))
    # What the processes of either differ by is no part of a single ratio.
    error = math.hypot(of_baseline.process_error, estimate.process_error)
    pairs = centre_of_logs(logs).with_error(error)
    ratio = settled(ratio_of_pairs(pairs, logs), _of_undisturbed(of_baseline, estimate)).ratio
    speedup_half_width = None
    if not ratio.paired or _width(pairs) is not None:
        speedup_half_width = ratio.half_width
    if not ratio.coverage:
        grow = _more(grow, _grow(pairs))
    return VisitWidths(
        undisturbed_half_width,
        speedup_half_width,
        known=estimate.known and ratio.coverage >= CONFIDENCE,
        grow=grow,
        process_shift=shift,
        process_error=of_processes,
        time_ms=time_ms,
    )


def _estimates(
    visits: Sequence[Visit], canary: CanaryBest | None
) -> list[tuple[VisitState, Estimate]]:
    """One for each state of the machine."""
    found = []
    for state in visit_states(usable(visits, canary)):
        found.append((state, estimate_of(series_of(state.visits, canary))))
    return found


def _rank(found: tuple[VisitState, Estimate]) -> tuple[bool, float]:
    state, estimate = found
    return not estimate.known, state.hop_ns or 0.0


def _of_undisturbed(slow: Estimate, fast: Estimate) -> Ratio | None:
    """The ratio of the undisturbed times, where both were looked for."""
    if "no canary" in (slow.basis, fast.basis):
        return None
    return ratio_of_medians(slow.centre, fast.centre, known=slow.known and fast.known)


def _until_known(estimate: Estimate) -> float | None:
    """How many times the visits until the undisturbed time is known; None: that cannot be told."""
    if estimate.basis in ("calm visits", "no canary"):
        return _grow(estimate.centre)
    if estimate.calm_visits == 0:
        return None
    return FEWEST_CALM / estimate.calm_visits


def seconds_left(found: VisitWidths, wanted: float, spent: float) -> float | None:
    """How long it takes until all is known and as narrow as ``wanted``, if ``spent`` seconds have
    led here; None where it cannot be told."""
    if found.grow is None or found.undisturbed_half_width is None:
        return None
    grow = max(found.grow, 1.0)
    for width in (found.undisturbed_half_width, found.speedup_half_width):
        if width is not None:
            # A width goes with one over the root of the time.
            grow = max(grow, (width / wanted) ** 2)
    return spent * (grow - 1)


def _width(centre: Centre) -> float | None:
    """Of a logarithm's interval, relative to the value itself."""
    if not math.isfinite(centre.distance):
        return None
    return math.expm1(centre.distance)


def _grow(centre: Centre) -> float | None:
    """How many times the values until they are surely worth enough independent ones."""
    if centre.surely <= 0:
        return None
    return FEWEST_INDEPENDENT / centre.surely


def _more(first: float | None, second: float | None) -> float | None:
    if first is None or second is None:
        return None
    return max(first, second)
