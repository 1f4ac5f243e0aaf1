"""Each verdict is given for what it is meant for, and only then."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deploybench.analysis.speedups import Speedup, paired_speedups
from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge, judge_speedup
from deploybench.results.launch import Facts, Launch, Probes, Surroundings
from deploybench.results.verdict import Judgement, Verdict
from deploybench.statistics.ratios import paired_ratio
from tests.records import launch, parity, surroundings

STEADY = [10.0, 10.1, 9.9, 10.0, 10.05, 9.95, 10.0, 10.1]
COMMAND = "deploybench run --artifact a"
NEAR, FAR = 105.0, 235.0


def scaled(factor: float, **changes: object) -> Launch:
    return launch([sample * factor for sample in STEADY], **changes)


def verdict_of(launches: Sequence[Launch]) -> Judgement:
    return judge(launches, summarise(launches, 1), COMMAND)


def probed(**readings: float) -> Surroundings:
    """A calm machine whose probes read the same before and after."""
    made = surroundings()
    probes = made.before.model_copy(update=readings)
    return made.model_copy(update={"before": probes, "after": probes})


UNSETTLED = launch(STEADY, unsettled="50% of the calls lie at another level than the rest")
BUSY = launch(STEADY, surroundings=surroundings(foreign_cpu_share=0.3))


@pytest.mark.parametrize(
    ("launches", "verdict", "words"),
    [
        ([launch(STEADY), scaled(1.01)] * 3, Verdict.VALID, "6 launches agree within 1.0%"),
        (
            [launch(STEADY)] * 6 + [BUSY] * 2,
            Verdict.VALID,
            "6 launches agree within 0.0%; 2 disturbed ones",
        ),
        ([launch(STEADY)] * 5 + [BUSY] * 2, Verdict.UNSTABLE, "5 launches count in this state"),
        (
            [launch(STEADY), scaled(1.37), launch(STEADY)],
            Verdict.DRIFTING,
            "the medians of 3 launches spread 37%",
        ),
        ([UNSETTLED] * 3, Verdict.UNSTABLE, "3 of 3 launches were disturbed: 50% of the calls lie"),
        (
            [BUSY] * 2 + [UNSETTLED] * 2,
            Verdict.NOISY,
            "4 of 4 launches were disturbed: other processes took 30%",
        ),
        (
            [BUSY] + [launch(STEADY)] * 2,
            Verdict.NOISY,
            "1 of 3 launches was disturbed: other processes took 30%",
        ),
        (
            [launch(STEADY), scaled(1.032)] * 3,
            Verdict.UNSTABLE,
            "interval of 6 launches is ±1.6%, VALID needs ±1.5%",
        ),
        ([launch(STEADY), scaled(1.028)] * 3, Verdict.VALID, "6 launches agree within 2.8%"),
        (
            [launch(STEADY)] * 2,
            Verdict.UNSTABLE,
            "2 launches count in this state, an interval of 95% needs 6",
        ),
        ([launch([8.0, 12.0] * 8)] * 6, Verdict.NOISY, "scatter over 40%"),
        ([Launch(error="killed by SIGKILL")], Verdict.FAILED, "SIGKILL"),
        ([launch(STEADY), *[Launch(error="killed by SIGSEGV")] * 2], Verdict.FAILED, "SIGSEGV"),
        ([Launch(refused="asked for precision fp32, CPU runs bf16")], Verdict.INVALID, "runs bf16"),
        (
            [Launch(parity=parity(passed=False, reason="cosine 0.2"))],
            Verdict.INVALID,
            "parity: cosine 0.2",
        ),
        ([], Verdict.FAILED, "no launch"),
        (
            [scaled(1, hop_ns=NEAR), scaled(1.3, hop_ns=FAR)],
            Verdict.UNSTABLE,
            "1 launch counts in this state",
        ),
        (
            [launch(STEADY, surroundings=surroundings(NEAR, FAR))] * 4,
            Verdict.UNSTABLE,
            "changed state during all 4",
        ),
    ],
)
def test_verdict_names_what_happened(launches: list[Launch], verdict: Verdict, words: str) -> None:
    judgement = verdict_of(launches)
    assert judgement.verdict is verdict
    assert words in judgement.reason
    assert bool(judgement.advice) == (verdict is not Verdict.VALID)


@pytest.mark.parametrize(
    ("launches", "advice"),
    [
        ([Launch(error="boom")], f"reproduce: {COMMAND}"),
        ([Launch(refused="asked for threads 2, CPU runs 1")], f"reproduce: {COMMAND}"),
        ([], f"reproduce: {COMMAND}"),
        ([Launch(parity=parity(passed=False))], "export it again"),
        ([launch(STEADY)] * 2, "more rounds"),
        ([launch(STEADY)] * 5, "more rounds"),
        ([launch(STEADY), scaled(1.032)] * 3, "more rounds"),
        ([UNSETTLED] * 3, "--duration"),
        ([BUSY] * 3, "stop the other work"),
        ([launch(STEADY), scaled(1.3), launch(STEADY)], "trust speed-ups (paired by round)"),
        ([launch(STEADY, surroundings=surroundings(NEAR, FAR))] * 4, "--duration"),
    ],
)
def test_advice_fits_the_cause(launches: list[Launch], advice: str) -> None:
    assert advice in verdict_of(launches).advice


def test_levels_of_two_states_do_not_drift_when_each_is_steady() -> None:
    near, far = [scaled(1, hop_ns=NEAR)] * 7, [scaled(1.4, hop_ns=FAR)] * 6
    summary = summarise([*near, *far], 1)
    assert summary is not None
    assert [state.judgement.verdict for state in summary.states] == [Verdict.VALID, Verdict.VALID]
    assert verdict_of([*near, *far]).verdict is Verdict.VALID


def test_verdict_of_a_cell_is_that_of_the_state_seen_most() -> None:
    near, far = [scaled(1, hop_ns=NEAR)] * 6, [scaled(1.4, hop_ns=FAR)] * 2
    assert verdict_of([*far, *near]).verdict is Verdict.VALID
    assert verdict_of([*near[:1], *far]).verdict is Verdict.UNSTABLE


@pytest.mark.parametrize(
    ("name", "field", "base"),
    [("compute", "compute_us", 41.0), ("memory", "memory_ms", 3.2), ("hop", "hop_ns", NEAR)],
)
def test_drift_names_the_probe_that_moved_with_the_launches(
    name: str, field: str, base: float
) -> None:
    launches = [
        scaled(factor, surroundings=probed(**{field: base * factor}))
        for factor in (1, 1.05, 1.1, 1.15, 1.2)
    ]
    judgement = verdict_of(launches)
    assert judgement.verdict is Verdict.DRIFTING
    assert f"; the machine's {name} probe moved with them (18%)" in judgement.reason


def test_drift_names_the_probe_that_moved_most_alike_when_two_moved() -> None:
    factors = (1, 1.05, 1.1, 1.15, 1.2)
    shuffled = (1, 1.1, 1.05, 1.2, 1.15)
    launches = [
        scaled(factor, surroundings=probed(compute_us=41 * other, memory_ms=3.2 * factor))
        for factor, other in zip(factors, shuffled, strict=True)
    ]
    assert "memory probe moved with them" in verdict_of(launches).reason


@pytest.mark.parametrize(
    "readings",
    [
        (41.0,) * 5,
        (41.0, 41.1, 41.2, 41.3, 41.4),  # in step, but 1 %
        (49.0, 47.0, 45.0, 43.0, 41.0),  # faster while the launches became slower
        (41.0, 49.0, 43.0, 47.0, 41.5),  # on its own
    ],
)
def test_drift_says_that_no_probe_moved_when_none_went_along(readings: Sequence[float]) -> None:
    launches = [
        scaled(factor, surroundings=probed(compute_us=reading))
        for factor, reading in zip((1, 1.05, 1.1, 1.15, 1.2), readings, strict=True)
    ]
    assert verdict_of(launches).reason.endswith("; no probe of the machine moved with them")


def test_drift_blames_no_probe_when_none_was_read() -> None:
    launches = [scaled(factor, surroundings=None) for factor in (1, 1.1, 1.2, 1.3)]
    assert "probe" not in verdict_of(launches).reason
    unread = Surroundings(before=Probes(), after=Probes())
    launches = [scaled(factor, surroundings=unread) for factor in (1, 1.1, 1.2, 1.3)]
    assert verdict_of(launches).verdict is Verdict.DRIFTING


def test_speedup_is_valid_while_the_absolute_times_drift() -> None:
    factors = (1.0, 1.1, 1.2, 1.3, 1.2, 1.1)
    eager = [scaled(2 * factor, number=number) for number, factor in enumerate(factors)]
    other = [scaled(factor, number=number) for number, factor in enumerate(factors)]
    assert verdict_of(eager).verdict is verdict_of(other).verdict is Verdict.DRIFTING
    (speedup,) = paired_speedups(eager, other)
    assert judge_speedup(speedup) == Judgement(verdict=Verdict.VALID, reason="6 rounds")


def test_speedup_of_five_rounds_is_unstable_and_rounds_set_aside_are_named() -> None:
    five, six = paired_ratio([2.0] * 5), paired_ratio([2.0] * 6)
    assert five is not None
    assert six is not None
    judgement = judge_speedup(Speedup(None, five, changed=0, disturbed=0))
    assert judgement.verdict is Verdict.UNSTABLE
    assert judgement.reason == "5 pairs of launches, an interval needs 6"
    assert judgement.advice
    assert (
        judge_speedup(Speedup(None, six, 2, 0)).reason
        == "6 rounds; in 2 more the machine changed state"
    )


def test_speedup_is_noisy_when_other_work_ran_beside_its_rounds() -> None:
    around = surroundings(foreign_cpu_share=0.25)
    eager = [scaled(2, number=number, surroundings=around) for number in range(6)]
    other = [scaled(1, number=number) for number in range(6)]
    (speedup,) = paired_speedups(eager, other)
    assert judge_speedup(speedup).verdict is Verdict.NOISY
    calm = [scaled(2, number=number) for number in range(6, 12)]
    (speedup,) = paired_speedups(
        eager + calm, other + [scaled(1, number=number) for number in range(6, 12)]
    )
    assert judge_speedup(speedup).verdict is Verdict.VALID
    assert speedup.ratio.count == 6


def test_estimate_is_not_valid_when_disturbed_launches_had_to_count() -> None:
    around = surroundings(foreign_cpu_share=0.25)
    launches = [
        scaled(1),
        scaled(1),
        scaled(1, surroundings=around),
        scaled(1, surroundings=around),
    ]
    assert verdict_of(launches).verdict is Verdict.NOISY


def test_estimate_from_a_calm_minority_is_not_valid() -> None:
    around = surroundings(foreign_cpu_share=0.25)
    assert (
        verdict_of([scaled(1)] * 6 + [scaled(1, surroundings=around)] * 7).verdict is Verdict.NOISY
    )
    assert (
        verdict_of([scaled(1)] * 6 + [scaled(1, surroundings=around)] * 6).verdict is Verdict.VALID
    )


def test_facts_are_kept_when_a_launch_is_refused() -> None:
    facts = Facts(precision="bf16", threads=2, provider="CPU", device="cpu")
    assert Launch(refused="x", facts=facts).facts == facts


def test_launch_on_a_double_is_never_valid_whatever_else_it_shows() -> None:
    facts = Facts(
        precision="fp32", threads=2, provider="TensorRT", device="cuda", provenance="simulated"
    )
    for simulated in (scaled(1, facts=facts), Launch(error="out of memory", facts=facts)):
        found = verdict_of([scaled(1)] * 6 + [simulated])
        assert found.verdict is Verdict.INVALID
        assert "simulated" in found.reason
        assert "LD_LIBRARY_PATH" in found.advice
