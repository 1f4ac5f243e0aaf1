"""When each verdict is given, and the advice that goes with it.

INVALID   what ran is not what was asked, or it computes something else, or a double stood in for
          the device: no speed is shown.
FAILED    nothing ran to its end: a crash, a time limit, an export that did not work. A single lost
          launch among good ones is none: see ``lost_launches.py``.
SKIPPED   this host, artifact or profile cannot run the cell; nothing was tried.
NOISY     other work disturbed the launches, or their samples scatter widely.
UNSTABLE  launches never settled, or too few count in this state of the machine for an interval
          that is narrow enough.
DRIFTING  launches in one state of the machine disagree: it changed in a way that the probes may
          name.
VALID     none of these.

Each state of the machine has its own verdict; the verdict of a cell is that of the state seen most.
Times that rest on visits: see ``visit_verdicts.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from deploybench.analysis.disturbances import disturbances
from deploybench.analysis.lost_launches import noting_losses, without_lost
from deploybench.analysis.speedups import Speedup
from deploybench.analysis.states import FEWEST_LAUNCHES, State, probe_readings
from deploybench.analysis.visit_verdicts import judge_visited_speedup
from deploybench.artifacts.parity import ParityReport
from deploybench.plurals import counted, counted_of
from deploybench.provenance import Provenance
from deploybench.results.launch import Launch
from deploybench.results.record import Summary
from deploybench.results.verdict import Judgement, Verdict
from deploybench.statistics.counted import Counted
from deploybench.statistics.samples import (
    CONFIDENCE,
    FEWEST_FOR_INTERVAL,
    median,
    median_interval,
    spread,
)

LARGEST_LAUNCH_SPREAD = 0.05
"""Launch medians of an undisturbed cell in one state spread under 3 %; a change of state moved them
20 to 60 %."""
WIDEST_INTERVAL = 0.015
"""VALID stands for 3 %: half of it for the interval of the launches, half for what they cannot show
of the machine."""
LARGEST_QUARTILE_SPREAD = 0.15
"""(p75 - p25) / p50 of one launch; a quiet machine stays near 0.02."""
PROBE_SHIFT = 0.02
"""A probe that spread less than this did not cause a drift of more than twice as much."""
STRONG_CORRELATION = 0.6
MORE_ROUNDS = "measure more rounds: a larger --rounds or --budget"


class Attempt(Protocol):
    """What a fresh process says before its numbers are looked at: a launch, a scenario's trial."""

    @property
    def error(self) -> str | None: ...

    @property
    def refused(self) -> str | None: ...

    @property
    def parity(self) -> ParityReport | None: ...

    @property
    def provenance(self) -> Provenance: ...


SIMULATED = Judgement(
    verdict=Verdict.INVALID,
    reason="simulated: a double stood in for the device's library, as in this program's own tests",
    advice="take the double out of the library path (LD_LIBRARY_PATH) and measure on the device",
)
"""Of a launch, a trial or a whole cell, whatever else it shows."""


def judge_attempts(attempts: Sequence[Attempt], command: str) -> Judgement | None:
    """Why there is no number to look at; None where there is one.

    A double stood in for the device, or a process broke, refused or computed something else.
    ``command`` does the same again.
    """
    if any(attempt.provenance == "simulated" for attempt in attempts):
        return SIMULATED
    again = f"reproduce: {command}"
    for attempt in attempts:
        if attempt.error is not None:
            return Judgement(verdict=Verdict.FAILED, reason=attempt.error, advice=again)
        if attempt.refused is not None:
            return Judgement(verdict=Verdict.INVALID, reason=attempt.refused, advice=again)
        if attempt.parity is not None and not attempt.parity.holds:
            return _judge_parity(attempt.parity)
    return None


def _judge_parity(parity: ParityReport) -> Judgement:
    """Of a parity that failed, and for which no accuracy stands."""
    reason = f"parity: {parity.reason}"
    advice = (
        "the artifact computes something else than fp32 eager did: export it again, or choose "
        "another precision"
    )
    if parity.accuracy is not None:
        reason += f"; not accepted by accuracy: {parity.accuracy.words}"
        advice = parity.accuracy.action or advice
    elif not parity.why_never_accepted:
        advice += ", or let its accuracy decide: --accept-by accuracy of evaluate and run"
    return Judgement(verdict=Verdict.INVALID, reason=reason, advice=advice)


def judge(launches: Sequence[Launch], summary: Summary | None, command: str) -> Judgement:
    """The judgement of a cell; ``command`` measures the cell again."""
    # A double is told by any launch, also by one that was lost and does not count otherwise.
    if any(launch.provenance == "simulated" for launch in launches):
        return SIMULATED
    without_number = judge_attempts(without_lost(launches), command)
    if without_number is not None:
        return without_number
    if summary is None:
        return Judgement(
            verdict=Verdict.FAILED, reason="no launch was measured", advice=f"reproduce: {command}"
        )
    if not summary.states:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"the machine changed state during {_all_of(summary.flipped)}",
            advice="shorter launches meet one state more often: --duration",
        )
    return noting_losses(summary.states[0].judgement, launches)


def judge_estimate(state: State) -> Judgement:
    """The judgement of the estimate in one state of the machine.

    It is VALID where its launches can be trusted and its interval is narrow.
    """
    judgement = judge_state(state)
    width = _half_width(state.counted)
    if judgement.verdict is not Verdict.VALID or width <= WIDEST_INTERVAL:
        return judgement
    return Judgement(
        verdict=Verdict.UNSTABLE,
        reason=f"the interval of {_launches(state.counted)} is ±{width:.1%}, VALID needs "
        f"±{WIDEST_INTERVAL:.1%}",
        advice=MORE_ROUNDS,
    )


def judge_state(state: State) -> Judgement:
    """Whether the launches in one state of the machine can be trusted.

    How well they agree is in their interval, which :func:`judge_estimate` looks at.
    """
    if len(state.launches) < FEWEST_LAUNCHES:
        return _too_few(len(state.launches))
    disturbed = [launch for launch in state.launches if disturbances(launch)]
    most_disturbed = 2 * len(disturbed) > len(state.launches)
    if most_disturbed or any(disturbances(launch) for launch in state.counted):
        return _disturbed(disturbed, len(state.launches))
    launch_spread = spread([launch.median_ms for launch in state.counted])
    if launch_spread > LARGEST_LAUNCH_SPREAD:
        return Judgement(
            verdict=Verdict.DRIFTING,
            reason=f"the medians of {_launches(state.counted)} spread "
            f"{launch_spread:.0%}{_cause(state.counted)}",
            advice="trust speed-ups (paired by round) before absolute times; more rounds narrow "
            "both",
        )
    scatter = median([_quartile_spread(launch.steady_ns) for launch in state.counted])
    if scatter > LARGEST_QUARTILE_SPREAD:
        return Judgement(
            verdict=Verdict.NOISY,
            reason=f"half of a launch's samples scatter over {scatter:.0%} of the median",
            advice="look for other work on the machine, or measure longer: --duration",
        )
    if len(state.counted) < FEWEST_FOR_INTERVAL:
        return _too_few(len(state.counted))
    agreement = f"{_launches(state.counted)} agree within {launch_spread:.1%}"
    return Judgement(verdict=Verdict.VALID, reason="; ".join([agreement, *_reservations(state)]))


def judge_speedup(speedup: Speedup) -> Judgement:
    """The judgement of a speed-up that is paired by round, of launches or of visits.

    It may hold while the absolute times drift.
    """
    if speedup.pairs is not None:
        return judge_visited_speedup(speedup)
    count = speedup.ratio.count
    if speedup.ratio.coverage < CONFIDENCE:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"{counted(count, 'pair')} of launches, an interval needs {FEWEST_FOR_INTERVAL}",
            advice=MORE_ROUNDS,
        )
    if speedup.disturbed:
        return Judgement(
            verdict=Verdict.NOISY,
            reason=counted_of(speedup.disturbed, count, "round") + " disturbed",
            advice="stop the other work: it slows two runtimes by different amounts",
        )
    reason = counted(count, "round")
    if speedup.changed:
        reason += f"; in {speedup.changed} more the machine changed state"
    return Judgement(verdict=Verdict.VALID, reason=reason)


def _reservations(state: State) -> list[str]:
    """What a reader of a VALID estimate should know all the same."""
    reservations = []
    left_out = len(state.launches) - len(state.counted)
    if left_out:
        reservations.append(
            counted(left_out, "disturbed one does not count", "disturbed ones do not count")
        )
    if not all(_other_work_is_known(launch) for launch in state.counted):
        reservations.append("other work on the machine could not be seen")
    if any(_gpu_hides_other_work(launch) for launch in state.counted):
        reservations.append("other work on the GPU could not be seen")
    return reservations


def _other_work_is_known(launch: Launch) -> bool:
    """Whether the system told how much CPU time other processes took meanwhile."""
    surroundings = launch.surroundings
    return surroundings is not None and surroundings.foreign_cpu_share is not None


def _gpu_hides_other_work(launch: Launch) -> bool:
    """Whether the launch ran on a GPU whose driver did not tell who else was on it."""
    if launch.surroundings is None or launch.surroundings.gpu is None:
        return False
    return launch.surroundings.gpu.other_processes is None


def _half_width(launches: Sequence[Launch]) -> float:
    """Of the interval of the estimate, relative to it; infinite for less than two launches."""
    medians_ms = [launch.median_ms for launch in launches]
    interval = median_interval(medians_ms)
    if interval is None:
        return math.inf
    return interval.half_width(median(medians_ms))


def _too_few(count: int) -> Judgement:
    launches = counted(count, "launch counts", "launches count")
    return Judgement(
        verdict=Verdict.UNSTABLE,
        reason=f"{launches} in this state, an interval of {CONFIDENCE:.0%} needs "
        f"{FEWEST_FOR_INTERVAL}",
        advice=MORE_ROUNDS,
    )


def _launches(launches: Sequence[Launch]) -> str:
    return counted(len(launches), "launch", "launches")


def _all_of(launches: int) -> str:
    if launches == 1:
        return "the one launch"
    return f"all {launches} launches"


def _disturbed(disturbed: Sequence[Launch], count: int) -> Judgement:
    """What most launches suffered from: never settling is UNSTABLE, other work is NOISY."""
    unsettled = [launch for launch in disturbed if launch.unsettled is not None]
    beside_other_work = [launch for launch in disturbed if launch.unsettled is None]
    if 2 * len(unsettled) > len(disturbed):
        verdict, examples = Verdict.UNSTABLE, unsettled
    else:
        verdict, examples = Verdict.NOISY, beside_other_work
    # The words are those of the first launch that suffered from it.
    cause = disturbances((examples or disturbed)[0])[0]
    return Judgement(
        verdict=verdict,
        reason=f"{counted_of(len(disturbed), count, 'launch', 'launches')} disturbed: {cause.what}",
        advice=f"{cause.advice}; trust speed-ups (paired by round) before absolute times",
    )


def _cause(launches: Sequence[Launch]) -> str:
    """Which probe of the machine moved with the launches, in words.

    Empty where nothing was probed.
    """
    medians_ms = [launch.median_ms for launch in launches]
    moved: list[tuple[float, str]] = []
    for name, field in (("compute", "compute_us"), ("memory", "memory_ms"), ("hop", "hop_ns")):
        readings = probe_readings(launches, field)
        # With few launches, or some without a reading, a correlation says nothing.
        if len(readings) != len(medians_ms) or len(readings) <= FEWEST_LAUNCHES:
            continue
        shift = spread(readings)
        if shift <= PROBE_SHIFT:
            continue
        correlation = _rank_correlation(readings, medians_ms)
        if correlation >= STRONG_CORRELATION:
            moved.append(
                (correlation, f"; the machine's {name} probe moved with them ({shift:.0%})")
            )
    if moved:
        # That of the closest correlation.
        _, words = max(moved)
        return words
    if launches[0].surroundings is None:
        return ""
    return "; no probe of the machine moved with them"


def _rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's; 0 where it is not defined, because all values of one side are the same."""
    from scipy.stats import spearmanr

    correlation = float(spearmanr(first, second).statistic)
    if math.isnan(correlation):
        return 0.0
    return correlation


def _quartile_spread(samples: Counted) -> float:
    """The middle half of the samples, relative to their median."""
    lower_quartile, upper_quartile = samples.nearest_rank(0.25), samples.nearest_rank(0.75)
    return (upper_quartile - lower_quartile) / samples.median()
