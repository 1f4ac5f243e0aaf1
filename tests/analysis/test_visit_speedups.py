"""How many times faster, of cells that were visited in the same rounds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from deploybench.analysis.answers import answers_of
from deploybench.analysis.comparison import Status
from deploybench.analysis.crossover import AttentionFamily, crossovers
from deploybench.analysis.findings import findings_of
from deploybench.analysis.settling import budget_for, most_rounds, rounds_to_settle, what_settles
from deploybench.analysis.speedups import Speedup, speedups_of
from deploybench.analysis.verdicts import judge_speedup
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import Answer, answer
from tests import records
from tests.visited_cells import BEST, Floats, contended, record, times_ms, visits

ROUNDS = 240
CALM = np.ones(ROUNDS)


def noise(deviation: float = 0.01, seed: int = 0) -> Floats:
    return np.asarray(np.exp(np.random.default_rng(seed).normal(0, deviation, ROUNDS)))


def speedup_of(baseline: Record, candidate: Record) -> Speedup:
    (speedup,) = speedups_of(baseline, candidate)
    return speedup


def two_cells(
    first_ms: Floats, second_ms: Floats, delivered: Floats | None = None
) -> tuple[Record, Record]:
    canary = None if delivered is None else BEST
    return (
        record(visits(first_ms, delivered), canary=canary, runner="pytorch"),
        record(visits(second_ms, delivered), canary=canary, runner="onnxruntime"),
    )


def test_what_the_machine_did_to_both_is_in_no_ratio() -> None:
    """The times move by 15 %, the ratio of neighbours by 1.4 %."""
    machine = noise(0.15, seed=1)
    speedup = speedup_of(*two_cells(20 * noise(seed=2) * machine, 10 * noise(seed=3) * machine))

    assert speedup.ratio == speedup.experienced
    assert speedup.ratio.value == pytest.approx(2.0, rel=0.005)
    assert speedup.ratio.half_width < 0.015, "of which 1.4 % is what other processes may be"
    assert speedup.ratio.paired
    assert (speedup.ratio.coverage, speedup.ratio.count) == (0.95, ROUNDS)
    assert speedup.undisturbed is None, "no canary was read"
    assert speedup.remark == ""
    assert judge_speedup(speedup).verdict is Verdict.VALID
    assert judge_speedup(speedup).reason == f"{ROUNDS} pairs of visits"


def test_visits_are_paired_by_round_whatever_their_order() -> None:
    slow = visits(20 * noise(0.2), CALM)
    fast = visits(10 * noise(0.2), CALM)

    speedup = speedup_of(record(slow), record(fast[::-1]))

    assert speedup.pairs is not None
    assert speedup.pairs.value == pytest.approx(math.log(2))
    assert speedup.ratio.half_width < 0.015


def test_a_round_that_visited_one_of_them_counts_for_nothing() -> None:
    slow, fast = visits(20 * noise(), CALM), visits(10 * noise(), CALM)

    speedup = speedup_of(record(slow[:100]), record(fast[50:]))

    assert speedup.pairs is not None
    assert speedup.pairs.count == 50
    assert speedups_of(record(slow[:50]), record(fast[50:])) == []


def test_visits_beside_fresh_launches_have_no_ratio() -> None:
    launched = records.record([records.launch([10.0] * 20, number=number) for number in range(6)])

    assert speedups_of(launched, record(visits(10 * noise(), CALM))) == []
    assert speedups_of(launched, launched)[0].ratio.value == pytest.approx(1.0)


def test_contention_that_changes_the_ranking_is_told_and_the_undisturbed_ratio_counts() -> None:
    """Calm, the second takes 9.3 ms beside 7.8; while others compute, both take as long."""
    generator = np.random.default_rng(4)
    delivered = contended(generator, ROUNDS, calm=0.3, slowest=0.55)
    first = times_ms(generator, delivered, 7.8, slope=-1.3)
    second = times_ms(generator, delivered, 9.3, slope=-0.6)

    speedup = speedup_of(*two_cells(first, second, delivered))

    assert speedup.undisturbed is not None
    assert speedup.experienced is not None
    assert speedup.ratio == speedup.undisturbed
    assert speedup.rests_on_undisturbed
    assert speedup.undisturbed.value == pytest.approx(7.8 / 9.3, rel=0.01)
    assert speedup.experienced.value > 0.95
    assert "contention slows the two by different amounts" in speedup.remark
    assert "undisturbed x0.8" in speedup.remark
    judgement = judge_speedup(speedup)
    assert judgement.verdict is Verdict.VALID
    assert judgement.reason == speedup.remark


@pytest.mark.parametrize(("slope", "changes"), [(-0.2, True), (-1.3, False)])
def test_the_ranking_changes_only_where_the_two_answers_do(slope: float, changes: bool) -> None:
    generator = np.random.default_rng(5)
    delivered = contended(generator, ROUNDS, calm=0.3, slowest=0.4)
    first = times_ms(generator, delivered, 7.8, slope=-1.3)
    second = times_ms(generator, delivered, 9.3, slope=slope)

    _, against = findings_of(list(two_cells(first, second, delivered)), margin=0.02)

    assert against.against is not None
    assert against.against.ranking_differs is changes


def test_where_nothing_was_calm_the_ratio_is_as_the_machine_was_and_noisy() -> None:
    generator = np.random.default_rng(6)
    delivered = generator.uniform(0.6, 0.8, ROUNDS)
    first = times_ms(generator, delivered, 20)
    second = times_ms(generator, delivered, 10)

    speedup = speedup_of(*two_cells(first, second, delivered))

    assert speedup.ratio == speedup.experienced
    assert speedup.undisturbed is not None
    assert speedup.undisturbed.coverage == 0
    assert answer(speedup.ratio) is Answer.FASTER
    judgement = judge_speedup(speedup)
    assert judgement.verdict is Verdict.NOISY
    assert "as the machine was: it delivered 71% of its own speed" in judgement.reason


def test_the_ratio_agrees_with_the_two_times_that_are_shown_or_says_why_not() -> None:
    """Each has modes of its own: the middle of the ratios is 1.3, both middles are 10 ms."""
    turn = np.arange(ROUNDS) % 5
    slow = np.where(turn < 2, 13.0, 10.0) * noise(0.002, seed=7)
    fast = np.where((turn == 2) | (turn == 3), 10 / 1.3, 10.0) * noise(0.002, seed=8)

    speedup = speedup_of(*two_cells(slow, fast))

    assert speedup.experienced is not None
    assert speedup.experienced.value == pytest.approx(1.3, rel=0.01)
    assert speedup.ratio.value == pytest.approx(1.0, rel=0.01)
    assert not speedup.ratio.paired
    assert "paired by round it is x1.3: one of the two has modes of its own" in speedup.remark
    assert speedup.remark in judge_speedup(speedup).reason


def test_a_ratio_that_drifts_is_drifting() -> None:
    speedup = speedup_of(*two_cells(10 * noise(seed=9) * np.linspace(1, 1.1, ROUNDS), 10 * noise()))

    assert speedup.ratio.coverage == 0
    assert answer(speedup.ratio) is Answer.AMBIGUOUS
    assert judge_speedup(speedup).verdict in (Verdict.DRIFTING, Verdict.UNSTABLE)


def test_a_few_pairs_have_finite_ends_and_no_answer() -> None:
    for count in (1, 3, 7):
        slow, fast = visits(20 * noise()[:count], CALM), visits(10 * noise()[:count], CALM)
        speedup = speedup_of(record(slow), record(fast))

        assert 0 < speedup.ratio.low <= speedup.ratio.value <= speedup.ratio.high < 100
        assert speedup.ratio.coverage == 0
        assert judge_speedup(speedup).verdict is Verdict.UNSTABLE
        assert rounds_to_settle(speedup) > 0


def test_a_large_ratio_is_an_answer_whatever_the_pairs_know_of_each_other() -> None:
    """Slow spells of the baseline alone, in the first third: no pair is below 5, so no dependence
    that seven or more independent pairs allow makes the two equal."""
    slow = noise(0.02, seed=4)[:70] * 20
    for first in (5, 9, 13, 17, 21, 26):
        slow[first : first + 3] *= 2.6
    speedup = speedup_of(*two_cells(slow, 3.5 * noise(0.02, seed=5)[:70]))

    assert speedup.pairs is not None
    assert not speedup.pairs.known
    assert speedup.ratio.coverage == 0.95
    assert speedup.ratio.low > 5
    assert answer(speedup.ratio) is Answer.FASTER


def test_processes_that_differ_widen_the_ratio() -> None:
    levels = np.where(np.arange(ROUNDS) % 2, 1.02, 1.0)
    alike = speedup_of(*two_cells(20 * noise(seed=1), 10 * noise(seed=2), CALM))
    speedup = speedup_of(*two_cells(20 * noise(seed=1) * levels, 10 * noise(seed=2), CALM))

    # A difference of 2 % is believed, by itself and the four that are usual: Student's interval of
    # five, 2.57 x 1.4 % / the root of 2, beside ±0.8 % of the other cell.
    assert alike.ratio.half_width < 0.014
    assert 0.024 < speedup.ratio.half_width < 0.032
    assert answer(speedup.ratio) is Answer.FASTER


def test_findings_answers_and_crossovers_follow_the_visits() -> None:
    slow = record(visits(20 * noise(seed=1), CALM), runner="pytorch")
    fast = record(visits(10 * noise(seed=2), CALM), runner="onnxruntime")

    baseline, candidate = findings_of([slow, fast])
    (found,) = answers_of([slow, fast])

    assert baseline.against is None
    assert candidate.against is not None
    assert candidate.against.answer is Answer.FASTER
    assert candidate.against.judgement.verdict is Verdict.VALID
    assert candidate.against.speedup.ratio.count == ROUNDS
    assert candidate.against.more_rounds is None
    assert found.known
    assert found.fastest is fast
    assert found.over_baseline is not None
    assert found.over_baseline.undisturbed

    by_shape = []
    for model, ms in (("softmax", 20.0), ("linear", 10.0)):
        for size, tokens in ((64, 16), (128, 64)):
            made = record(
                visits(ms * noise(seed=tokens), CALM), model=model, image_size=(size, size)
            )
            by_shape.append(made.replaced(tokens=tokens))
    (crossover,) = crossovers(by_shape, AttentionFamily("softmax", ("softmax", "linear")))
    assert crossover.beats_from == 16


def test_what_is_not_decided_says_how_many_rounds_of_visits_would() -> None:
    slow = record(visits(10.5 * noise(0.1, seed=1)[:60], CALM), runner="pytorch")
    fast = record(visits(10 * noise(0.1, seed=2)[:60], CALM), runner="onnxruntime")

    _, candidate = findings_of([slow, fast])

    assert candidate.against is not None
    assert candidate.against.answer is Answer.AMBIGUOUS
    more = candidate.against.more_rounds
    assert more is not None
    assert more == rounds_to_settle(candidate.against.speedup)
    words = f"about {more} more visits of each would settle it: --budget "
    assert words in candidate.against.reason
    assert candidate.against.reason.endswith(f"{budget_for([slow, fast], 60 + more)}s")
    assert most_rounds(candidate.against.speedup) == 2000


def test_ratio_whose_halves_contradict_each_other_is_settled_by_no_number_of_rounds() -> None:
    slow = record(visits(10 * noise(0.002, seed=1), CALM), runner="pytorch")
    fast = record(visits(9.5 * noise(0.002, seed=2), CALM), runner="onnxruntime")
    speedup = speedup_of(slow, fast)
    assert speedup.pairs is not None
    # As narrow as it has to be, and of no coverage: one more round would change nothing.
    drifting = replace(
        speedup,
        ratio=replace(speedup.ratio, coverage=0.0),
        pairs=replace(speedup.pairs, halves=(9.0, -9.0)),
    )

    assert answer(drifting.ratio) is Answer.AMBIGUOUS
    assert rounds_to_settle(drifting) is None
    words = what_settles(drifting, None, [slow, fast])
    assert words == "the two differ by other amounts at other times: measure again, longer"


def test_ratio_that_is_not_known_and_narrow_enough_is_settled_by_no_number_of_rounds() -> None:
    """Such as that of the medians, where one of the two has modes of its own."""
    slow = record(visits(10 * noise(0.002, seed=1), CALM), runner="pytorch")
    speedup = speedup_of(slow, record(visits(9.5 * noise(0.002, seed=2), CALM), runner="openvino"))

    unknown = replace(speedup, ratio=replace(speedup.ratio, coverage=0.0))

    assert rounds_to_settle(unknown) is None
    assert rounds_to_settle(speedup) == 1, "it is known and has an answer"


def test_one_more_visit_is_said_as_one() -> None:
    slow = record(visits(10 * noise(), CALM), runner="pytorch")
    speedup = speedup_of(slow, record(visits(10 * noise(seed=3), CALM), runner="onnxruntime"))

    assert "about 1 more visit of each would" in what_settles(speedup, 1, [slow])
    assert what_settles(speedup, 2001, [slow]) == "too close for any number"


def test_cells_of_one_run_compare_by_their_visits() -> None:
    from deploybench.analysis.comparison import compare_records
    from deploybench.analysis.matching import Axis

    slow = record(visits(20 * noise(seed=1), CALM), precision="fp32")
    fast = record(visits(10 * noise(seed=2), CALM), precision="fp16")

    (row,) = compare_records([slow, fast], [slow, fast], across=Axis("precision", "fp32", "fp16"))

    assert row.status is Status.COMPARED
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(2.0, rel=0.01)
    assert row.baseline is not None
    assert row.baseline.p50_ms == pytest.approx(20, rel=0.01)
