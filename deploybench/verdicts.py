"""When each verdict is given, and the advice that goes with it.

INVALID   what ran is not what was asked, or it computes something else: no speed is shown.
FAILED    nothing ran to its end: a crash, a time limit, an export that did not work.
SKIPPED   this host, artifact or profile cannot run the cell; nothing was tried.
DRIFTING  the launches disagree with each other: the machine changed between them.
UNSTABLE  samples still moved inside a launch (the second half of its window differs from the first), or
          there are too few launches to see whether the machine is steady.
NOISY     one launch's samples scatter widely around their median.
VALID     none of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.results import Judgement, Launch, Verdict
from deploybench.stats import median, nearest_rank, spread

FEWEST_LAUNCHES = 3
"""No single launch can know: each was within 2 % while launches a minute apart were 37 % apart."""
LARGEST_LAUNCH_SPREAD = 0.05
"""Launch medians of an undisturbed cell spread under 3 %; a change of the machine's state moved them 37 %."""
LARGEST_HALF_SHIFT = 0.05
LARGEST_QUARTILE_SPREAD = 0.15
"""(p75 - p25) / p50 of one launch; a quiet machine stays near 0.02."""


def judge(launches: Sequence[Launch], command: str) -> Judgement:
    """The judgement of a cell from its launches; ``command`` measures the cell again."""
    for launch in launches:
        if launch.error is not None:
            return Judgement(verdict=Verdict.FAILED, reason=launch.error, advice=f"reproduce: {command}")
        if launch.refused is not None:
            return Judgement(verdict=Verdict.INVALID, reason=launch.refused, advice=f"reproduce: {command}")
        if launch.parity is not None and not launch.parity.passed:
            return Judgement(
                verdict=Verdict.INVALID,
                reason=f"parity: {launch.parity.reason}",
                advice="the artifact computes something else than fp32 eager did: export it again, or choose "
                "another precision",
            )
    measured = [launch.samples_ns for launch in launches if launch.measured]
    if not measured:
        return Judgement(verdict=Verdict.FAILED, reason="no launch was measured", advice=f"reproduce: {command}")
    return _judge_samples(measured)


def _judge_samples(measured: Sequence[Sequence[int]]) -> Judgement:
    if len(measured) < FEWEST_LAUNCHES:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"{len(measured)} launches cannot show whether the machine is steady",
            advice=f"measure at least {FEWEST_LAUNCHES} rounds: --rounds",
        )
    launch_spread = spread([median(samples) for samples in measured])
    if launch_spread > LARGEST_LAUNCH_SPREAD:
        return Judgement(
            verdict=Verdict.DRIFTING,
            reason=f"the medians of {len(measured)} launches spread {launch_spread:.0%}",
            advice="look for other work on the machine and measure more rounds; trust speed-ups (paired by round) "
            "before absolute times",
        )
    shift = max(_half_shift(samples) for samples in measured)
    if shift > LARGEST_HALF_SHIFT:
        return Judgement(
            verdict=Verdict.UNSTABLE,
            reason=f"within a launch the second half is {shift:.0%} away from the first",
            advice="measure longer: --duration",
        )
    scatter = max(_quartile_spread(samples) for samples in measured)
    if scatter > LARGEST_QUARTILE_SPREAD:
        return Judgement(
            verdict=Verdict.NOISY,
            reason=f"half of a launch's samples scatter over {scatter:.0%} of the median",
            advice="look for other work on the machine, or measure longer: --duration",
        )
    return Judgement(verdict=Verdict.VALID, reason=f"{len(measured)} launches agree within {launch_spread:.1%}")


def _half_shift(samples: Sequence[int]) -> float:
    middle = len(samples) // 2
    if middle == 0:
        return 0.0
    return abs(median(samples[middle:]) / median(samples[:middle]) - 1)


def _quartile_spread(samples: Sequence[int]) -> float:
    return (nearest_rank(samples, 0.75) - nearest_rank(samples, 0.25)) / median(samples)
