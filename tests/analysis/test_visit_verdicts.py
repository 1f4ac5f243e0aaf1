"""Each verdict of a cell that was visited is given for what it is meant for, and only then."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.results.launch import Launch
from deploybench.results.verdict import Judgement, Verdict
from deploybench.results.visit import CanaryBest, CanaryReading, Visit
from tests.records import launch, parity, surroundings
from tests.visited_cells import BEST, Floats, contended, times_ms, visits

ROUNDS = 240
CALM = np.ones(ROUNDS)
COMMAND = "deploybench run --artifact a"
STARTED = [launch([10.0] * 20), launch([10.0] * 20)]


def judged(
    made: Sequence[Visit],
    canary: CanaryBest | None = BEST,
    launches: Sequence[Launch] = STARTED,
) -> Judgement:
    return judge(launches, summarise(launches, 1, made, canary), COMMAND)


def noisy_ms(count: int = ROUNDS, deviation: float = 0.01, seed: int = 0) -> Floats:
    return np.asarray(10 * np.exp(np.random.default_rng(seed).normal(0, deviation, count)))


def test_a_time_from_calm_visits_is_valid_and_says_what_it_rests_on() -> None:
    generator = np.random.default_rng(0)
    delivered = contended(generator, ROUNDS, calm=0.4, slowest=0.5)

    judgement = judged(visits(times_ms(generator, delivered), delivered))

    assert judgement.verdict is Verdict.VALID
    assert f"calm of {ROUNDS} visits" in judgement.reason
    assert "of its own speed on median" in judgement.reason
    assert not judgement.advice


def test_a_machine_that_was_seldom_calm_is_noisy_and_says_how_much_it_delivered() -> None:
    generator = np.random.default_rng(1)
    delivered = generator.uniform(0.6, 0.9, 61)
    delivered[[5, 20, 33, 50]] = 1.0

    judgement = judged(visits(times_ms(generator, delivered), delivered))

    assert judgement.verdict is Verdict.NOISY
    share = f"{np.exp(np.median(np.log(delivered))):.0%}"
    assert judgement.reason == (
        f"the machine delivered {share} of its own speed on median; 4 of 61 visits were calm; the "
        "undisturbed time is extrapolated"
    )
    # 15 calm ones at 4 of 61 take 229 rounds.
    assert "about 168 more visits would meet 15 calm ones" in judgement.advice


def test_a_machine_that_was_never_calm_says_that_its_best_was_not_seen_in_this_run() -> None:
    delivered = np.random.default_rng(2).uniform(0.6, 0.81, ROUNDS)
    best = BEST.replaced(of_this_run=CanaryReading(compute_us=4000 / 0.81, memory_us=1000))

    judgement = judged(visits(10 / delivered, delivered), best)

    assert judgement.verdict is Verdict.NOISY
    assert f"none of {ROUNDS} visits was calm" in judgement.reason
    assert (
        "never delivered more than 81% of the best that was seen on this host" in judgement.reason
    )
    assert "quieter" in judgement.advice


@pytest.mark.parametrize("rise", [0.05, -0.05])
def test_a_time_that_drifts_while_the_canary_does_not_is_drifting(rise: float) -> None:
    times = noisy_ms() * np.exp(np.linspace(0, rise, ROUNDS))

    judgement = judged(visits(times, CALM))

    assert judgement.verdict is Verdict.DRIFTING
    assert "the canary does not account for it" in judgement.reason
    assert "speed-ups" in judgement.advice


def test_a_drift_that_the_canary_sees_is_taken_off() -> None:
    delivered = np.linspace(1.0, 0.9, ROUNDS)

    judgement = judged(visits(noisy_ms() / delivered, delivered))

    assert judgement.verdict is Verdict.VALID


def test_visits_that_depend_on_each_other_are_unstable_however_narrow_the_interval() -> None:
    spells = 10 * np.repeat(np.exp(np.random.default_rng(3).normal(0, 0.002, 6)), 20)

    judgement = judged(visits(spells * (noisy_ms(120, 0.0001) / 10), CALM[:120]))

    assert judgement.verdict in (Verdict.UNSTABLE, Verdict.DRIFTING)
    times = noisy_ms(30, seed=4)
    judgement = judged(visits(np.sort(times)[np.argsort(np.sin(np.arange(30)))], CALM[:30]))
    assert judgement.verdict is Verdict.UNSTABLE
    assert "depend on each other" in judgement.reason
    assert "more visit" in judgement.advice


def test_a_wide_interval_is_unstable_and_says_how_many_rounds_would_do() -> None:
    judgement = judged(visits(noisy_ms(100, 0.1, seed=5), CALM[:100]))

    assert judgement.verdict is Verdict.UNSTABLE
    assert "VALID needs ±2.0%" in judgement.reason
    assert "more visits would do" in judgement.advice


def test_a_few_visits_are_unstable() -> None:
    judgement = judged(visits([10.0] * 5, CALM[:5]))

    assert judgement.verdict is Verdict.UNSTABLE
    assert judgement.reason == "5 visits, an interval needs at least 15"


def test_processes_that_wait_for_unlike_numbers_of_pages_say_so() -> None:
    levels = np.where(np.arange(ROUNDS) % 2, 1.1, 1.0)
    alike, unlike = [], []
    for visit in visits(noisy_ms() * levels, CALM):
        alike.append(visit.replaced(faults=visit.count * 2320))
        unlike.append(visit.replaced(faults=visit.count * (2320, 5853)[visit.process]))

    assert (
        "one asks the system for 2,320 new pages a call, another for 5,853" in judged(unlike).reason
    )
    assert "2 processes of it differ" in judged(alike).reason
    assert "pages" not in judged(alike).reason


def test_two_processes_that_differ_are_unstable_and_three_may_tell() -> None:
    levels = np.where(np.arange(ROUNDS) % 2, 1.02, 1.0)

    judgement = judged(visits(noisy_ms() * levels, CALM))

    assert judgement.verdict is Verdict.UNSTABLE
    assert "2 processes of it differ by 2" in judgement.reason
    assert "3 or more of them tell" in judgement.advice

    levels = np.array([1.0, 1.006, 1.003, 1.004])[np.arange(ROUNDS) % 4]
    judgement = judged(visits(noisy_ms(deviation=0.003) * levels, CALM, processes=4))
    assert judgement.verdict is Verdict.VALID
    assert "4 processes differ by 0.6%, which the interval spans" in judgement.reason


def test_calm_visits_that_the_others_contradict_are_noisy() -> None:
    """A cell that something slows just while the machine is calm."""
    generator = np.random.default_rng(6)
    delivered = contended(generator, ROUNDS, calm=0.3, slowest=0.6)
    times = times_ms(generator, delivered)
    times[delivered == 1.0] *= 1.12

    judgement = judged(visits(times, delivered))

    assert judgement.verdict is Verdict.NOISY
    assert "both cannot be true" in judgement.reason


def test_without_a_canary_a_time_may_be_valid_and_says_so() -> None:
    judgement = judged(visits(noisy_ms()), canary=None)

    assert judgement.verdict is Verdict.VALID
    assert "no canary was read: it is the time as experienced" in judgement.reason


def test_other_work_at_the_start_is_a_remark_beside_a_canary_and_noise_without_one() -> None:
    busy = [launch([10.0] * 20, surroundings=surroundings(foreign_cpu_share=0.3))] * 2

    with_canary = judged(visits(noisy_ms(), CALM), launches=busy)
    without = judged(visits(noisy_ms()), canary=None, launches=busy)

    assert with_canary.verdict is Verdict.VALID
    assert "when a process was started, other processes took 30%" in with_canary.reason
    assert without.verdict is Verdict.NOISY
    assert "other processes took 30% of the CPUs" in without.reason
    assert "stop the other work" in without.advice


def test_a_quota_is_noise_beside_a_canary_too() -> None:
    around = surroundings(quota_throttled=40, quota_share=0.2)
    judgement = judged(
        visits(noisy_ms(), CALM), launches=[launch([10.0] * 20, surroundings=around)] * 2
    )

    assert judgement.verdict is Verdict.NOISY
    assert "quota" in judgement.reason


def test_processes_that_had_not_settled_are_a_remark() -> None:
    unsettled = [launch([10.0] * 20, unsettled="the calls become faster"), *STARTED[:1]]

    judgement = judged(visits(noisy_ms(), CALM), launches=unsettled)

    assert judgement.verdict is Verdict.VALID
    assert "1 of 2 processes had not settled before the visits" in judgement.reason


def test_one_process_is_said() -> None:
    judgement = judged(visits(noisy_ms(), CALM, processes=1))

    assert judgement.verdict is Verdict.VALID
    assert "of one process" in judgement.reason


@pytest.mark.parametrize(
    ("wrong", "verdict"),
    [
        (Launch(error="killed by SIGSEGV"), Verdict.FAILED),
        (launch([10.0] * 20, refused="asked for fp32, CPU runs bf16"), Verdict.INVALID),
        (launch([10.0] * 20, parity=parity(passed=False)), Verdict.INVALID),
    ],
)
def test_no_visit_saves_a_process_that_failed_or_computes_something_else(
    wrong: Launch, verdict: Verdict
) -> None:
    judgement = judged(visits(noisy_ms(), CALM), launches=[wrong, *STARTED])

    assert judgement.verdict is verdict


def test_the_words_have_no_number_that_is_none() -> None:
    for count in (1, 8, 20, 60):
        for canary in (BEST, None):
            judgement = judged(visits(noisy_ms(count), CALM[:count]), canary)
            assert "inf" not in judgement.reason + judgement.advice
            assert "nan" not in judgement.reason + judgement.advice
            assert math.isfinite(len(judgement.reason))
