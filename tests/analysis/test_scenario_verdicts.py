"""Timing and scenarios judge alike what did not come to a number; LoadGen judges the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deploybench.analysis.scenario_verdicts import judge_no_rate_found, judge_scenario
from deploybench.analysis.verdicts import judge
from deploybench.artifacts.parity import compare_outputs
from deploybench.results.launch import Facts, Launch
from deploybench.results.verdict import Verdict
from deploybench.scenarios.record import Trial

COMMAND = "deploybench scenario"
RIGHT = np.arange(8, dtype=np.float32).reshape(2, 4)
WRONG = compare_outputs(RIGHT, -RIGHT, "fp32")
SIMULATED = Facts(precision="fp32", threads=1, provider="x", device="cuda", provenance="simulated")


@pytest.mark.parametrize(
    ("told", "verdict", "words"),
    [
        ({"error": "the worker was killed"}, Verdict.FAILED, "the worker was killed"),
        ({"refused": "threads: 2 asked, 1 used"}, Verdict.INVALID, "threads: 2 asked"),
        ({"parity": WRONG}, Verdict.INVALID, "parity: "),
        ({"facts": SIMULATED}, Verdict.INVALID, "simulated: a double stood in"),
    ],
)
def test_what_did_not_come_to_a_number_is_judged_alike_in_a_run_and_in_a_scenario(
    told: dict[str, Any], verdict: Verdict, words: str
) -> None:
    timed = judge([Launch(**told)], None, COMMAND)
    scenario = judge_scenario(Trial(**told), COMMAND)
    assert scenario == timed
    assert scenario.verdict is verdict
    assert words in scenario.reason
    assert scenario.advice


def test_trial_without_a_test_has_failed() -> None:
    assert judge_scenario(Trial(), COMMAND).verdict is Verdict.FAILED


def test_search_that_found_no_rate_names_the_lowest_that_it_tried() -> None:
    judgement = judge_no_rate_found("p99 <= 5 ms", [40.0, 10.0, 20.0], "advice")
    assert judgement.verdict is Verdict.INVALID
    assert judgement.reason == "no rate of 3 tried, down to 10/s, holds p99 <= 5 ms twice"
