"""What leads a tuning."""

from __future__ import annotations

from deploybench.analysis.amounts import Amount, Quantity, amounts_of_time
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.tuned import Pairs, leader_of
from deploybench.results.verdict import Judgement, Verdict
from tests.advised import candidate


def seen_too_seldom(ms: float, runner: str) -> Candidate:
    """One that was visited, too seldom for an estimate of its undisturbed time."""
    judgement = Judgement(verdict=Verdict.UNSTABLE, reason="1 visit", advice="measure longer")
    record = candidate(ms, runner, shares=(1.0,), judgement=judgement)
    amounts = {**amounts_of_time(record), Quantity.P50: Amount()}
    return Candidate(record, None, "", amounts)


def test_what_is_known_of_none_is_led_by_what_was_met_to_be_the_fastest() -> None:
    slow, fast = seen_too_seldom(2453.0, "pytorch"), seen_too_seldom(9.1, "openvino")
    assert leader_of([slow, fast], Pairs(Quantity.P50, 0.02)) is fast
