"""When each verdict is given to a scenario: LoadGen's own, unless the cell is wrong or broke.

INVALID   what ran is not what was asked, as for a timed cell; or LoadGen's conditions are not met;
          or no rate holds the latency bound.
FAILED    nothing ran to its end.
VALID     LoadGen says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from deploybench.analysis.verdicts import Attempt, judge_attempts
from deploybench.plurals import counted
from deploybench.results.verdict import Judgement, Verdict


class LoadTest(Protocol):
    """What LoadGen said of its test: valid or not, which conditions are not met, and its advice."""

    @property
    def valid(self) -> bool: ...

    @property
    def unmet(self) -> Sequence[str]: ...

    @property
    def advice(self) -> Sequence[str]: ...


class ScenarioAttempt(Attempt, Protocol):
    """One fresh process of a scenario, with LoadGen's test if it came to that."""

    @property
    def loadgen(self) -> LoadTest | None: ...


def judge_scenario(trial: ScenarioAttempt, command: str) -> Judgement:
    """The judgement of one test; ``command`` does it again."""
    without_number = judge_attempts([trial], command)
    if without_number is not None:
        return without_number
    test = trial.loadgen
    if test is None:
        return Judgement(
            verdict=Verdict.FAILED, reason="nothing was measured", advice=f"reproduce: {command}"
        )
    advice = "; ".join(test.advice)
    if test.valid:
        return Judgement(verdict=Verdict.VALID, reason="", advice=advice)
    return Judgement(
        verdict=Verdict.INVALID,
        reason=f"LoadGen: not satisfied: {', '.join(test.unmet)}",
        advice=advice,
    )


def judge_too_slow_alone(bound: str, queries: int, fastest_ms: float) -> Judgement:
    """The judgement of a search that need not begin.

    No query held ``bound`` (in words), although there was nothing else to do.
    """
    return Judgement(
        verdict=Verdict.INVALID,
        reason=f"no rate holds {bound}: with nothing else to do, the fastest of "
        f"{counted(queries, 'query', 'queries')} took {fastest_ms:.3g} ms",
        advice="raise --latency-bound",
    )


def judge_no_rate_found(bound: str, tried: Sequence[float], advice: str) -> Judgement:
    """The judgement of a search that found no rate (queries a second) that holds ``bound`` twice.

    ``advice`` is that of its last test.
    """
    rates = f"no rate of {len(tried)} tried"
    if len(tried) == 1:
        rates = "not the one rate that was tried"
    return Judgement(
        verdict=Verdict.INVALID,
        reason=f"{rates}, down to {min(tried):g}/s, holds {bound} twice",
        advice=advice,
    )
