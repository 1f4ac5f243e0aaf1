"""When a time that rests on visits is VALID, and when and why not.

VALID     the undisturbed time was seen (calm visits; or nobody asked a canary), it is known under
          whatever dependence the visits have, it holds in each half of the run, nothing
          contradicts it, and its interval is narrow.
NOISY     the machine seldom or never delivered its own speed, so that the undisturbed time is
          extrapolated; or something disturbed the processes that a canary does not see.
DRIFTING  the time changed while the delivered speed says that it should not have.
UNSTABLE  too few visits, too dependent ones, too few processes that differ, or a wide interval.

INVALID, FAILED and SKIPPED are as for launches: see ``verdicts.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploybench.analysis.disturbances import Disturbance, disturbances_around
from deploybench.analysis.speedups import MOST_ROUNDS_OF_VISITS, Speedup
from deploybench.plurals import counted, counted_of
from deploybench.results.launch import Launch
from deploybench.results.record import Visited
from deploybench.results.verdict import Judgement, Verdict
from deploybench.results.visit import CanaryBest
from deploybench.statistics.adjust import FARTHEST_CALM, FEWEST_CALM
from deploybench.statistics.dependence import FEWEST_INDEPENDENT, FEWEST_VALUES, Centre
from deploybench.statistics.samples import CONFIDENCE

WIDEST_INTERVAL = 0.02
"""Of launches it is 1.5 %: half of 3 %, the other half is for what no launch of a run can show. Of
visits the interval spans what processes differ by and what the canary does not know."""
FEWEST_PROCESSES = 3
"""Of two processes that differ nobody can say which is the usual one."""
FARTHEST_WORKED_OUT = 0.5
"""Where nine in ten visits were given less of the machine's speed than this, no line reaches from
them to all of it: beside very busy neighbours 9 ms were worked out of 230 where 26 were right."""
LEAST_DELIVERED = 0.9
"""On median: beside less than that, a speed-up may be that of a contended machine alone."""
MANY_FAULTS = 100
"""A call that waits for as many new pages loses 0.1 ms or more on a virtual machine."""
UNLIKE_FAULTS = 1.2
LONGER = "measure longer: a larger --budget"


def too_far(visited: Visited) -> bool:
    """Whether the undisturbed time was neither seen nor can be worked out from what was."""
    if visited.basis in ("calm visits", "no canary") or visited.delivered_p90 is None:
        return False
    return visited.delivered_p90 < FARTHEST_WORKED_OUT


def judge_visits(
    visited: Visited,
    centre: Centre,
    launches: Sequence[Launch] = (),
    canary: CanaryBest | None = None,
) -> Judgement:
    """The judgement of the undisturbed time; ``centre`` is its logarithm.

    ``launches`` started the processes that were visited.
    """
    if visited.visits < FEWEST_CALM:
        return _too_few(visited)
    unseen = _unseen_by_canary(launches, visited)
    if 2 * len(unseen) > len(launches):
        return Judgement(
            verdict=Verdict.NOISY,
            reason=f"{counted_of(len(unseen), len(launches), 'process', 'processes')} disturbed: "
            f"{unseen[0].what}",
            advice=unseen[0].advice,
        )
    if visited.basis not in ("calm visits", "no canary"):
        return _not_seen(visited, canary)
    if visited.drift:
        return _drifting(
            f"the time changed by {visited.drift:+.1%} from the first visit to the last"
        )
    if not visited.halves_agree and math.isfinite(centre.distance):
        return _drifting(
            "the time of either half of the run lies outside the interval of the whole"
        )
    if visited.process_shift and visited.processes < FEWEST_PROCESSES:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"{visited.processes} processes of it differ by {visited.process_shift:.1%}"
            f"{_unlike_faults(visited)}",
            advice=f"which is the usual one, {FEWEST_PROCESSES} or more of them tell: {LONGER}",
        )
    if visited.agree is False:
        return _contradicting(visited, centre)
    if not visited.known:
        return _dependent(visited, centre)
    width = math.expm1(centre.distance)
    if width > WIDEST_INTERVAL:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"the interval of {_visits(visited)} is ±{width:.1%}, VALID needs "
            f"±{WIDEST_INTERVAL:.1%}",
            advice=_more(rounds_until(centre, visited.visits, WIDEST_INTERVAL)),
        )
    reason = f"±{width:.1%} from {_visits(visited)}"
    return Judgement(
        verdict=Verdict.VALID, reason="; ".join([reason, *_reservations(visited, launches)])
    )


def judge_visited_speedup(speedup: Speedup) -> Judgement:
    """The judgement of a speed-up by visits; it may hold while the times themselves do not."""
    pairs = speedup.pairs
    assert pairs is not None  # only those of launches have none
    if speedup.rests_on_undisturbed:
        reason = speedup.remark or f"of the undisturbed times, surer than {_pairs(pairs)}"
        return Judgement(verdict=Verdict.VALID, reason=reason)
    if pairs.count < FEWEST_VALUES:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"{_pairs(pairs)}, an interval needs {FEWEST_VALUES}",
            advice=LONGER,
        )
    if pairs.surely < FEWEST_INDEPENDENT:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"{_pairs(pairs)} depend on each other: surely worth {pairs.surely:.0f} "
            f"independent ones, an interval needs {FEWEST_INDEPENDENT:.0f}",
            advice=_more(rounds_until(pairs, pairs.count, WIDEST_INTERVAL)),
        )
    if not pairs.halves_agree:
        return Judgement(
            verdict=Verdict.DRIFTING,
            reason="the ratio of a half of the run lies outside the interval of the whole",
            advice="something slows one of the two and not the other: measure again, longer",
        )
    if speedup.ratio.coverage < CONFIDENCE:
        return Judgement(verdict=Verdict.UNSTABLE, reason=speedup.remark, advice=LONGER)
    reasons = [_pairs(pairs)]
    if speedup.remark:
        reasons.append(speedup.remark)
    unseen = speedup.undisturbed is None or speedup.undisturbed.coverage < CONFIDENCE
    delivered = speedup.delivered
    if unseen and delivered is not None and delivered < LEAST_DELIVERED:
        what = f"as the machine was: it delivered {delivered:.0%} of its own speed on median"
        return Judgement(
            verdict=Verdict.NOISY,
            reason="; ".join([*reasons, what]),
            advice="stop other work, or measure at a quieter time: undisturbed it may be another",
        )
    return Judgement(verdict=Verdict.VALID, reason="; ".join(reasons))


def rounds_until(centre: Centre, visits: int, wanted: float) -> int | None:
    """How many more rounds of visits make the interval of a logarithm known and so narrow.

    ``visits`` were made in all, also those that ``centre`` does not rest on. None where there is no
    interval to reckon with.
    """
    if centre.surely <= 0 or not math.isfinite(centre.distance):
        return None
    # The number of independent visits grows with the rounds, the width with one over its root.
    times = max(
        FEWEST_INDEPENDENT / centre.surely,
        (centre.distance / math.log1p(wanted)) ** 2,
        1.0,
    )
    return math.ceil(visits * (times - 1))


def delivered_text(visited: Visited) -> str:
    """How much of its speed the machine delivered, in words; empty without a canary."""
    if visited.delivered_p50 is None:
        return ""
    return f"the machine delivered {visited.delivered_p50:.0%} of its own speed on median"


def _too_few(visited: Visited) -> Judgement:
    return Judgement(
        verdict=Verdict.UNSTABLE,
        reason=f"{counted(visited.visits, 'visit')}, an interval needs at least {FEWEST_CALM}",
        advice=LONGER,
    )


def _unseen_by_canary(launches: Sequence[Launch], visited: Visited) -> list[Disturbance]:
    """What disturbed the processes and no canary shows, the first of each disturbed process.

    That a process was not settled when it was first visited shows in its visits.
    """
    unseen = []
    for launch in launches:
        disturbing = disturbances_around(launch)
        if visited.basis != "no canary":
            disturbing = [item for item in disturbing if not item.seen_by_canary]
        unseen += disturbing[:1]
    return unseen


def _unlike_faults(visited: Visited) -> str:
    """That processes ask the system for unlike numbers of pages, in words; else empty."""
    least, most = visited.faults_least, visited.faults_most
    if least is None or most is None or most < MANY_FAULTS or most < UNLIKE_FAULTS * least:
        return ""
    return (
        f" (one asks the system for {least:,.0f} new pages a call, another for {most:,.0f}: an "
        "allocator that keeps memory would mend it)"
    )


def _not_seen(visited: Visited, canary: CanaryBest | None) -> Judgement:
    calm = f"{counted_of(visited.calm_visits, visited.visits, 'visit')} calm"
    if visited.calm_visits == 0:
        calm = f"none of {counted(visited.visits, 'visit')} was calm"
    found = "is extrapolated"
    if too_far(visited):
        found = "is too far from what was seen to be worked out"
    reason = f"{delivered_text(visited)}; {calm}; the undisturbed time {found}"
    advice = "stop other work, ask for dedicated cores, or measure at a quieter time"
    if visited.calm_visits:
        share = visited.calm_visits / visited.visits
        more = math.ceil(FEWEST_CALM / share) - visited.visits
        if 0 < more <= MOST_ROUNDS_OF_VISITS:
            visits = counted(more, "more visit")
            advice = f"about {visits} would meet {FEWEST_CALM} calm ones; or {advice}"
    slow = _always_slow(canary)
    if slow:
        reason += f"; {slow}"
    return Judgement(verdict=Verdict.NOISY, reason=reason, advice=advice)


def _always_slow(canary: CanaryBest | None) -> str:
    """Whether the machine stayed below its best in all of the run, in words."""
    if canary is None or canary.of_this_run is None:
        return ""
    most = canary.delivered(canary.of_this_run)
    if most >= FARTHEST_CALM:
        return ""
    return (
        f"in all of this run it never delivered more than {most:.0%} of the best that was seen on "
        "this host"
    )


def _drifting(what: str) -> Judgement:
    return Judgement(
        verdict=Verdict.DRIFTING,
        reason=f"{what}; the canary does not account for it",
        advice="trust speed-ups (paired by round) before absolute times; measure again, longer",
    )


def _contradicting(visited: Visited, centre: Centre) -> Judgement:
    whole = ""
    if visited.whole_ms is not None:
        whole = f", all visits along a line {visited.whole_ms:.3g} ms"
    return Judgement(
        verdict=Verdict.NOISY,
        reason=f"{_visits(visited)} say {math.exp(centre.value):.3g} ms{whole}: both cannot be "
        f"true; {delivered_text(visited)}",
        advice="measure at a quieter time: the calm visits are the nearer ones",
    )


def _dependent(visited: Visited, centre: Centre) -> Judgement:
    return Judgement(
        verdict=Verdict.UNSTABLE,
        reason=f"{_visits(visited)} depend on each other: surely worth {centre.surely:.0f} "
        f"independent ones, an interval needs {FEWEST_INDEPENDENT:.0f}",
        advice=_more(rounds_until(centre, visited.visits, WIDEST_INTERVAL)),
    )


def _pairs(pairs: Centre) -> str:
    return counted(pairs.count, "pair of visits", "pairs of visits")


def _visits(visited: Visited) -> str:
    if visited.basis == "calm visits":
        return f"{visited.calm_visits} calm of {counted(visited.visits, 'visit')}"
    return counted(visited.visits, "visit")


def _more(rounds: int | None) -> str:
    if rounds is None:
        return LONGER
    if rounds > MOST_ROUNDS_OF_VISITS:
        return "measure at a quieter time: it would take too many visits"
    return f"about {counted(max(rounds, 1), 'more visit')} would do: a larger --budget"


def _reservations(visited: Visited, launches: Sequence[Launch]) -> list[str]:
    """What a reader of a VALID time should know all the same."""
    reservations = []
    if visited.delivered_p50 is None:
        reservations.append("no canary was read: it is the time as experienced")
    else:
        reservations.append(delivered_text(visited))
    if visited.process_shift:
        reservations.append(
            f"{visited.processes} processes differ by {visited.process_shift:.1%}"
            f"{_unlike_faults(visited)}, which the interval spans"
        )
    if visited.processes == 1:
        reservations.append("of one process")
    unsettled = sum(launch.unsettled is not None for launch in launches)
    if unsettled:
        reservations.append(
            f"{unsettled} of {counted(len(launches), 'process', 'processes')} had not settled "
            "before the visits"
        )
    others = {
        disturbance.what for launch in launches for disturbance in disturbances_around(launch)
    }
    reservations += [f"when a process was started, {what}" for what in sorted(others)[:1]]
    return reservations
