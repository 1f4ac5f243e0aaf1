"""The rounds of an experiment with made-up launches: who is launched, how often, and why no
more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np
import pytest

from deploybench.analysis.speedups import paired_speedups
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_rounds
from deploybench.measure.stopping import Ending, ExperimentRule
from deploybench.results.cell import Cell
from deploybench.results.launch import Launch
from deploybench.runs.experiment import Experiment, Stopped, state_widths
from tests.records import cell, launch

RULE = ExperimentRule(half_width=0.01, budget_s=60, min_rounds=6)
SECONDS = 2.0
Medians = Iterator[float]


def normal(sigma: float, seed: int = 0, level: float = 10.0) -> Medians:
    """Launch medians in ms that scatter around a level."""
    generator = np.random.default_rng(seed)
    while True:
        yield level * math.exp(generator.normal(0, sigma))


class Machine:
    """Launches in order of the times that each runner is given; None fails."""

    def __init__(self, **medians: Iterator[float | None]) -> None:
        self.medians = medians
        self.asked: list[str] = []

    def __call__(self, job: Job) -> Launch:
        self.asked.append(job.runner)
        time = next(self.medians[job.runner])
        return Launch(error="killed", seconds=SECONDS) if time is None else launch([time] * 20)


def job(runner: str) -> Job:
    return Job(artifact="", runner=runner, device="cpu", precision="fp32", batch=1, threads=2)


def measure(
    machine: Callable[[Job], Launch],
    cells: list[Cell],
    rule: ExperimentRule = RULE,
    baseline: str | None = None,
) -> Experiment:
    experiment = Experiment(cells, rule, baseline)
    jobs = [job(one.runner) for one in cells]
    for finished in run_rounds(jobs, experiment.wants_more, 0, launch=machine):
        experiment.add(finished.index, finished.launch)
    return experiment


def test_steady_cell_ends_after_six_rounds_because_it_is_precise() -> None:
    experiment = measure(Machine(pytorch=normal(0.001)), [cell()])
    assert len(experiment.launches[0]) == 6
    assert experiment.stopped(0) == Stopped(Ending.PRECISE, 0)


def test_cell_goes_on_exactly_until_its_interval_is_as_narrow_as_asked_for() -> None:
    experiment = measure(Machine(pytorch=normal(0.012, seed=1)), [cell()])
    launches = experiment.launches[0]
    assert 6 < len(launches) < 30
    (width,), (before,) = state_widths(launches), state_widths(launches[:-1])
    assert width is not None
    assert before is not None
    assert width <= 0.01 < before
    assert experiment.stopped(0) == Stopped(Ending.PRECISE, 0)


def test_cell_that_scatters_ends_with_its_budget_and_says_how_many_more_rounds_it_needs() -> None:
    experiment = measure(Machine(pytorch=normal(0.1)), [cell()])
    launches = experiment.launches[0]
    assert len(launches) == 60 / SECONDS
    stopped = experiment.stopped(0)
    assert stopped is not None
    (width,) = state_widths(launches)
    assert stopped.ending is Ending.SPENT
    assert stopped.more_rounds == math.ceil(30 * ((width or 0) / 0.01) ** 2) - 30


def test_quick_cell_ends_before_a_slow_one() -> None:
    experiment = measure(
        Machine(quick=normal(0.001), slow=normal(0.1)), [cell(runner="quick"), cell(runner="slow")]
    )
    assert [len(launches) for launches in experiment.launches] == [6, 30]


def test_comparison_keeps_its_baseline_alive_until_the_speedup_is_precise() -> None:
    """The baseline alone is precise after six rounds; paired with a candidate that scatters it is
    not."""
    machine = Machine(pytorch=normal(0.001), openvino=normal(0.015, seed=1))
    experiment = measure(machine, [cell(), cell(runner="openvino")], baseline="pytorch")
    eager, other = experiment.launches
    assert len(eager) > 6
    (now,), (before,) = paired_speedups(eager, other), paired_speedups(eager[:-1], other)
    assert now.ratio.half_width <= 0.01 < before.ratio.half_width
    assert [one.ending for one in map(experiment.stopped, range(2)) if one] == [Ending.PRECISE] * 2


def test_cells_that_are_no_comparison_do_not_wait_for_each_other() -> None:
    machine = Machine(pytorch=normal(0.001), openvino=normal(0.015, seed=1))
    other_batch = cell(runner="openvino", batch=8)
    experiment = measure(machine, [cell(), other_batch], baseline="pytorch")
    assert len(experiment.launches[0]) == 6


def test_comparison_is_over_when_the_other_side_has_spent_its_budget() -> None:
    machine = Machine(pytorch=normal(0.001), openvino=normal(0.2))
    experiment = measure(machine, [cell(), cell(runner="openvino")], baseline="pytorch")
    assert [len(launches) for launches in experiment.launches] == [30, 30]
    assert experiment.stopped(1) is not None


def test_failed_cell_does_not_keep_its_baseline_alive_nor_count_as_a_comparison_that_is_owed() -> (
    None
):
    machine = Machine(pytorch=normal(0.001), openvino=iter([None]))
    experiment = measure(machine, [cell(), cell(runner="openvino")], baseline="pytorch")
    stopped = experiment.stopped(0)
    assert stopped is not None
    assert (stopped.ending, stopped.more_rounds, len(experiment.launches[0])) == (
        Ending.PRECISE,
        0,
        6,
    )


def test_cell_that_is_precise_says_how_many_rounds_its_comparison_lacks() -> None:
    machine = Machine(pytorch=normal(0.2), openvino=normal(0.001))
    experiment = measure(machine, [cell(), cell(runner="openvino")], baseline="pytorch")
    stopped = experiment.stopped(1)
    assert stopped is not None
    assert (stopped.more_rounds or 0) > 100


def test_stopping_does_not_depend_on_which_side_is_faster() -> None:
    def rounds(factor: float) -> list[int]:
        machine = Machine(pytorch=normal(0.01, 1), openvino=normal(0.01, 2, 10 * factor))
        found = measure(machine, [cell(), cell(runner="openvino")], baseline="pytorch")
        return [len(launches) for launches in found.launches]

    assert rounds(1.0) == rounds(5.0) == rounds(0.2)


def test_cell_that_fails_at_once_is_not_launched_again_and_the_others_go_on() -> None:
    machine = Machine(pytorch=normal(0.001), openvino=iter([None, 10.0]))
    experiment = measure(machine, [cell(), cell(runner="openvino")])
    assert Counter(machine.asked) == {"pytorch": 6, "openvino": 1}
    assert experiment.launches[1][-1].error == "killed"


def test_cell_that_is_killed_twice_running_is_not_launched_again() -> None:
    machine = Machine(openvino=iter([10.0, None, None, 10.0]))
    experiment = measure(machine, [cell(runner="openvino")])
    assert len(machine.asked) == 3
    stopped = experiment.stopped(0)
    assert stopped is not None
    assert stopped.ending is Ending.FAILED


def test_cell_that_is_killed_once_is_tried_again_and_has_its_rounds() -> None:
    rule = ExperimentRule(half_width=None, budget_s=math.inf, min_rounds=6, max_rounds=8)
    times = iter([10.0] * 7 + [None] + [10.0] * 5)
    experiment = measure(Machine(openvino=times), [cell(runner="openvino")], rule)
    launches = experiment.launches[0]
    assert [launch.measured for launch in launches] == [True] * 7 + [False, True]
    assert experiment.stopped(0) == Stopped(Ending.ROUNDS, None)


def test_lost_launch_is_tried_again_although_the_budget_is_spent() -> None:
    rule = ExperimentRule(half_width=0.01, budget_s=2 * SECONDS, min_rounds=6)
    machine = Machine(openvino=iter([10.0, None, 10.0, 10.0, 10.0]))
    experiment = measure(machine, [cell(runner="openvino")], rule)
    assert experiment.launches[0][-1].measured


def test_every_cell_has_exactly_the_rounds_that_were_asked_for() -> None:
    rule = ExperimentRule(half_width=None, budget_s=math.inf, min_rounds=6, max_rounds=3)
    experiment = measure(
        Machine(a=normal(0), b=normal(0.5)), [cell(runner="a"), cell(runner="b")], rule
    )
    assert [[one.round for one in launches] for launches in experiment.launches] == [[0, 1, 2]] * 2
    assert experiment.stopped(0) == Stopped(Ending.ROUNDS, None)


def test_last_of_the_rounds_that_were_asked_for_is_known_as_soon_as_it_is_over() -> None:
    rule = ExperimentRule(half_width=None, budget_s=math.inf, min_rounds=6, max_rounds=2)
    experiment = Experiment([cell()], rule)
    seen = []
    for number in range(2):
        assert experiment.wants_more(0)
        experiment.add(0, launch([10.0] * 20, number=number))
        seen.append(experiment.stopped(0) is not None)
    assert seen == [False, True]
    assert not experiment.wants_more(0)


def test_order_within_a_round_is_random_but_the_same_for_the_same_seed() -> None:
    def orders(seed: int) -> list[tuple[int, ...]]:
        finished = list(
            run_rounds(
                [job("a"), job("b"), job("c")],
                counted(3, 20),
                seed,
                launch=lambda job: launch([10.0] * 20),
            )
        )
        assert [one.launch.round for one in finished] == [
            number for number in range(20) for _ in range(3)
        ]
        assert [one.launch.order for one in finished] == [0, 1, 2] * 20
        return [
            tuple(one.index for one in finished[start : start + 3]) for start in range(0, 60, 3)
        ]

    assert orders(0) == orders(0)
    assert orders(0) != orders(1)
    assert all(sorted(order) == [0, 1, 2] for order in orders(0))
    assert len(set(orders(0))) > 3


def counted(cells: int, rounds: int) -> Callable[[int], bool]:
    """So many rounds of each cell."""
    left = Counter(dict.fromkeys(range(cells), rounds))

    def wants_more(index: int) -> bool:
        left[index] -= 1
        return left[index] >= 0

    return wants_more


def test_start_is_told_of_each_launch_before_it_begins() -> None:
    events: list[tuple[str, int]] = []

    def one(job: Job) -> Launch:
        events.append(("launch", -1))
        return launch([10.0] * 20)

    rounds = run_rounds(
        [job("a")],
        counted(1, 2),
        0,
        launch=one,
        start=lambda index, number: events.append(("start", number)),
    )
    list(rounds)
    assert events == [("start", 0), ("launch", -1), ("start", 1), ("launch", -1)]


def test_every_state_that_was_seen_three_times_has_a_width() -> None:
    near = [launch([10.0 + number / 100] * 20, hop_ns=105) for number in range(7)]
    far = [launch([14.0] * 20, hop_ns=235) for _ in range(2)]
    assert state_widths([*near, *far]) == [pytest.approx(0.03 / 10.03, rel=0.01)]
    assert state_widths([*near, *far, far[0]])[1] is None, (
        "three launches are a state, but no 95 % interval"
    )
    assert state_widths(far) == [None]
    assert state_widths([]) == [None]


def test_two_states_are_both_made_precise() -> None:
    hops = cycle([105.0, 235.0])

    def machine(asked: Job) -> Launch:
        hop = next(hops)
        return launch([10.0 if hop == 105 else 14.0] * 20, hop_ns=hop)

    experiment = measure(machine, [cell()])
    assert len(experiment.launches[0]) == 12, "an interval needs six launches in each state"
