"""What the programs under benchmarks/ show on real machines, in a form that is fast, seeded and can
fail."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks.aa import spreads_of
from benchmarks.overhead import overhead_ns
from benchmarks.simulated import FAR, Machine, compare
from benchmarks.slowed_runner import installed
from deploybench.analysis.states import hops_of
from deploybench.analysis.summary import summarise
from deploybench.measure import loop
from deploybench.measure.loop import run_window
from deploybench.measure.stopping import Ending, ExperimentRule, WindowRule
from deploybench.results.launch import Launch
from deploybench.results.verdict import Verdict
from deploybench.runs.experiment import Experiment, state_widths
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL, median, spread
from tests.records import cell, launch, surroundings
from tests.visited_cells import BOTH_STATES, FAR_NS, NEAR_NS, record, visits

RULE = ExperimentRule(half_width=0.01, budget_s=60.0, min_rounds=FEWEST_FOR_INTERVAL)


@pytest.mark.measures
def test_overhead_program_times_the_null_runner_and_a_bare_pair() -> None:
    bare, ours, turn = overhead_ns(calls=500)
    assert bare > 0
    assert 0 < ours <= turn


def test_loop_keeps_its_own_readings_out_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that only work moves: the call takes 100, getrusage 7000, the rule 50."""
    now = [0]

    def work(cost: int) -> None:
        now[0] += cost

    class Rule:
        def done(self, samples: int, elapsed_ns: int) -> bool:
            work(50)
            return samples == 5

    monkeypatch.setattr(loop, "perf_counter_ns", lambda: now[0])
    monkeypatch.setattr(loop, "_usage", lambda: (work(7000), ())[1])
    window = run_window(lambda: work(100), Rule())  # type: ignore[arg-type]
    assert window.samples_ns == (100,) * 5
    assert window.wall_ns() == 5 * 100 + 4 * (7000 + 50)


@pytest.mark.measures
def test_samples_agree_with_a_clock_inside_the_call_to_one_percent() -> None:
    inside = []

    def call() -> None:
        start = time.perf_counter_ns()
        time.sleep(0.003)
        inside.append(time.perf_counter_ns() - start)

    window = run_window(call, WindowRule(min_samples=15, duration_ns=0, limit_ns=10**10))
    assert median(window.samples_ns) == pytest.approx(median(inside), rel=0.01)


@pytest.mark.parametrize("quiet_launches", [0, 6, 12])
def test_estimate_is_right_or_not_valid_when_a_neighbour_takes_half_of_one_core(
    quiet_launches: int,
) -> None:
    for seed in range(50):
        draw = np.random.default_rng(seed)
        summary = summarise(
            [_beside(draw, number >= quiet_launches, number) for number in range(12)], 1
        )
        assert summary is not None
        state = summary.states[0]
        right = abs(state.p50_ms / 10 - 1) < 0.03
        assert right or state.judgement.verdict is not Verdict.VALID
        assert (state.judgement.verdict is Verdict.VALID) == (quiet_launches >= 6)


def _beside(draw: np.random.Generator, neighbour: bool, number: int) -> Launch:
    """A launch of 10 ms calls; the neighbour makes them 5 to 60 % longer, and /proc/stat sees
    it."""
    factor = draw.uniform(1.05, 1.6) if neighbour else 1.0
    around = surroundings(
        100.0, foreign_cpu_share=draw.uniform(0.2, 0.26) if neighbour else draw.uniform(0, 0.01)
    )
    return launch(
        list(10 * factor * np.exp(draw.normal(0, 0.01, 30))), number=number, surroundings=around
    )


def test_two_states_are_told_apart_and_each_is_steady() -> None:
    machine = Machine(np.random.default_rng(5), "bimodal, seen by the probe")
    summary = summarise(
        [machine.launch(1.0).model_copy(update={"round": number}) for number in range(60)], 1
    )
    assert summary is not None
    near, far = sorted(summary.states, key=lambda state: state.hop_ns or 0)
    assert (near.p50_ms, far.p50_ms) == (
        pytest.approx(10, rel=0.01),
        pytest.approx(10 * FAR, rel=0.01),
    )
    assert near.launches + far.launches == 60
    assert not hasattr(summary, "p50_ms")


def test_launches_spread_under_three_percent_within_a_state_and_far_more_over_both() -> None:
    machine = Machine(np.random.default_rng(6), "bimodal, seen by the probe")
    launches = [machine.launch(1.0) for _ in range(60)]
    for hop in (100, 200):
        same = [item.median_ms for item in launches if abs(hops_of(item)[0] / hop - 1) < 0.2]
        assert spread(same) < 0.03
    assert spread([item.median_ms for item in launches]) > 0.2


def test_one_percent_costs_few_rounds_on_a_stable_machine() -> None:
    rounds = [
        len(compare(Machine(np.random.default_rng(seed), "stable"), 1.0, RULE, seed)[0])
        for seed in range(10)
    ]
    assert max(rounds) < 30
    assert min(rounds) >= FEWEST_FOR_INTERVAL


def test_budget_is_spent_and_more_rounds_are_asked_for_on_a_drifting_machine() -> None:
    machine = Machine(np.random.default_rng(1), "drifting")
    trial = Experiment([cell()], RULE)
    while trial.wants_more(0):
        trial.add(0, machine.launch(1.0))
    stopped = trial.stopped(0)
    assert stopped is not None
    assert stopped.ending is Ending.SPENT
    assert (stopped.more_rounds or 0) > 0
    assert state_widths(trial.launches[0])[0] is not None


def test_slowed_runner_is_a_plug_in_of_the_processes_started_while_it_is_installed() -> None:
    question = (
        "from deploybench.contracts.registry import runners; "
        "print(runners()['slowed-onnxruntime'].problem)"
    )
    with installed(0.03) as name:
        inside = subprocess.run(
            [sys.executable, "-c", question], capture_output=True, text=True, check=False
        )
    outside = subprocess.run(
        [sys.executable, "-c", question], capture_output=True, text=True, check=False
    )
    assert (name, inside.stdout.strip()) == ("slowed-onnxruntime", "None")
    assert outside.returncode != 0


def test_times_of_a_block_are_held_against_each_other_within_a_state() -> None:
    """A machine that was in one state for the first copy and in both for the others."""
    hops_ns = [NEAR_NS] * 40 + [FAR_NS] * 40
    copies = []
    for near_ms, far_ms in ((10.0, 20.0), (10.1, 20.4)):
        times_ms = np.where(np.array(hops_ns) == NEAR_NS, near_ms, far_ms)
        made = visits(times_ms, np.ones(len(hops_ns)), hops_ns=hops_ns)
        copies.append(record(made, canary=BOTH_STATES))
    made = visits([10.05] * 40, np.ones(40), hops_ns=[NEAR_NS] * 40)
    copies.append(record(made, canary=BOTH_STATES))
    assert spreads_of(copies) == pytest.approx([0.01, 0.02], abs=1e-4)
    assert spreads_of(copies[:1]) == []
