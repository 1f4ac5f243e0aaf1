"""The plan of visits: pairs stay together, known cells are visited now and then, time goes to the
others."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from deploybench.measure.visit_plan import (
    CHEAP_START_S,
    LARGEST_SHARE_OF_STARTS,
    MOST_PROCESSES,
    ROUNDS_OF_KNOWN,
    CellState,
    VisitPlan,
    VisitRule,
)

RULE = VisitRule(half_width=0.01, budget_s=100.0)


def plan_of(*cells: CellState, seed: int = 0) -> VisitPlan:
    return VisitPlan(RULE, dict(enumerate(cells)), seed)


@given(
    groups=st.lists(st.integers(0, 3), min_size=1, max_size=12),
    seed=st.integers(0, 100),
    number=st.integers(0, 50),
)
def test_round_visits_every_unknown_cell_once_and_cells_of_one_job_side_by_side(
    groups: list[int], seed: int, number: int
) -> None:
    order = plan_of(*[CellState(group, processes=1) for group in groups], seed=seed).round(number)
    assert sorted(order) == list(range(len(groups)))
    in_order = [groups[index] for index in order]
    changes = sum(1 for one, other in itertools.pairwise(in_order) if one != other)
    assert changes == len(set(groups)) - 1


def test_order_within_a_round_is_random_and_repeats_with_its_seed() -> None:
    cells = [CellState("a", processes=1) for _ in range(4)]
    plan, again, other = (plan_of(*cells, seed=seed) for seed in (1, 1, 2))
    orders = [plan.round(number) for number in range(10)]
    assert orders == [again.round(number) for number in range(10)]
    assert orders != [other.round(number) for number in range(10)]
    assert len({tuple(order) for order in orders}) > 3


def test_known_cell_is_visited_in_every_fourth_round() -> None:
    plan = plan_of(CellState("a", processes=1, known=True), CellState("b", processes=1))
    visited = [0 in plan.round(number) for number in range(2 * ROUNDS_OF_KNOWN)]
    assert visited == [True, False, False, False] * 2


def test_known_baseline_is_visited_beside_a_cell_that_needs_it() -> None:
    baseline = CellState("a", processes=1, known=True)
    plan = plan_of(baseline, CellState("a", partners=[0], processes=1))
    assert sorted(plan.round(1)) == [0, 1]


def test_ended_cell_is_visited_no_more_even_as_a_partner() -> None:
    baseline = CellState("a", ended=True)
    assert plan_of(baseline, CellState("a", partners=[0], processes=1)).round(0) == [1]


def test_run_is_done_once_all_that_live_are_known_and_never_before_the_fewest_rounds() -> None:
    known = CellState("a", processes=1, known=True)
    plan = plan_of(known, CellState("a", ended=True))
    assert not plan.done(RULE.fewest_rounds - 1)
    assert plan.done(RULE.fewest_rounds)
    assert not plan_of(known, CellState("a", processes=1)).done(1000)


def test_second_process_where_starting_is_cheap_and_none_where_it_is_dear() -> None:
    dear = CellState("a", processes=1, start_s=CHEAP_START_S + 1)
    cheap = CellState("a", processes=1, start_s=1.0)
    assert plan_of(dear, cheap).another_process(10) == 1
    assert plan_of(dear).another_process(10) is None
    assert plan_of(cheap).another_process(0) is None


def test_starts_take_no_more_than_their_share_of_the_time() -> None:
    plan = plan_of(CellState("a", processes=1, start_s=1.0))
    plan.spent_on_starts_s = LARGEST_SHARE_OF_STARTS * RULE.budget_s - 0.5
    assert plan.another_process(10) is None


def test_processes_that_differ_get_others_to_judge_by_up_to_a_limit() -> None:
    differing = CellState("a", processes=2, start_s=4.0, process_shift=0.05)
    assert plan_of(differing).another_process(10) == 0
    differing.processes = MOST_PROCESSES
    assert plan_of(differing).another_process(10) is None


def test_cell_gets_processes_until_they_take_no_large_part_of_the_wanted_width() -> None:
    cell = CellState("a", processes=2, start_s=1.0, process_error=0.009)
    assert plan_of(cell).another_process(10) == 0
    cell.process_error = 0.006
    assert plan_of(cell).another_process(10) is None


def test_known_cell_gets_more_processes_only_for_those_that_are_compared_with_it() -> None:
    baseline = CellState("a", processes=2, start_s=1.0, process_error=0.009, known=True)
    assert plan_of(baseline).another_process(10) is None
    candidate = CellState("a", partners=[0], processes=3, start_s=1.0)
    assert plan_of(baseline, candidate).another_process(10) == 0


def test_cell_with_fewest_processes_comes_first_and_of_these_the_fastest_to_start() -> None:
    error = 0.02
    more = CellState("a", processes=2, start_s=1.0, process_error=error)
    slow = CellState("a", processes=1, start_s=4.0, process_error=error)
    fast = CellState("a", processes=1, start_s=2.0, process_error=error)
    assert plan_of(more, slow, fast).another_process(10) == 2
