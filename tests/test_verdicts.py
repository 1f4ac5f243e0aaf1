"""Each verdict is given for what it is meant for, and only then."""

from __future__ import annotations

import pytest

from deploybench.results import Facts, Launch, Verdict
from deploybench.verdicts import judge
from tests.records import launch, parity

STEADY = [10.0, 10.1, 9.9, 10.0, 10.05, 9.95, 10.0, 10.1]


def scaled(factor: float) -> list[float]:
    return [sample * factor for sample in STEADY]


@pytest.mark.parametrize(
    ("launches", "verdict", "words"),
    [
        ([launch(STEADY), launch(scaled(1.01)), launch(STEADY)], Verdict.VALID, "agree within 1.0%"),
        ([launch(STEADY), launch(scaled(1.37)), launch(STEADY)], Verdict.DRIFTING, "spread 37%"),
        ([launch([10.0] * 8 + [12.0] * 8)] * 3, Verdict.UNSTABLE, "20% away"),
        ([launch(STEADY)] * 2, Verdict.UNSTABLE, "2 launches cannot show"),
        ([launch([8.0, 12.0] * 8)] * 3, Verdict.NOISY, "scatter over 40%"),
        ([Launch(error="killed by SIGKILL")], Verdict.FAILED, "SIGKILL"),
        ([launch(STEADY), Launch(error="killed by SIGSEGV")], Verdict.FAILED, "SIGSEGV"),
        ([Launch(refused="asked for precision fp32, CPU runs bf16")], Verdict.INVALID, "runs bf16"),
        ([Launch(parity=parity(passed=False, reason="cosine 0.2"))], Verdict.INVALID, "parity: cosine 0.2"),
        ([], Verdict.FAILED, "no launch"),
    ],
)
def test_judge_names_what_happened(launches: list[Launch], verdict: Verdict, words: str) -> None:
    judgement = judge(launches, "deploybench run --artifact a")
    assert judgement.verdict is verdict
    assert words in judgement.reason


def test_judge_gives_the_reproducing_command_when_a_cell_failed() -> None:
    assert "deploybench run --artifact a" in judge([Launch(error="boom")], "deploybench run --artifact a").advice


def test_judge_advises_something_for_every_verdict_that_is_not_valid() -> None:
    for launches in ([launch(STEADY), launch(scaled(2))], [launch([8.0, 12.0] * 8)], [launch([10.0] * 8 + [12.0] * 8)]):
        assert judge(launches, "c").advice


def test_facts_are_kept_when_a_launch_is_refused() -> None:
    facts = Facts(precision="bf16", threads=2, provider="CPU", device="cpu")
    assert Launch(refused="x", facts=facts).facts == facts
