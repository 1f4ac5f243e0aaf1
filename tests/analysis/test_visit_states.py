"""A machine whose cores share a cache now and then has two times for a call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from deploybench.analysis.comparison import Status, compare_pair
from deploybench.analysis.findings import findings_of
from deploybench.analysis.speedups import speedups_of
from deploybench.analysis.visit_progress import widths
from deploybench.analysis.visit_states import visit_states, visits_in
from deploybench.results.record import Record, StateSummary
from deploybench.results.verdict import Verdict
from deploybench.results.visit import Visit
from tests.visited_cells import BOTH_STATES, FAR_NS, NEAR_NS, Floats, reading, record, visits

NEAR_MS, FAR_MS = 10.0, 14.0
SPELLS = [NEAR_NS] * 60 + [FAR_NS] * 50 + [NEAR_NS] * 40
"""The state of each round."""


def times_ms(hops_ns: Sequence[float], near_ms: float, far_ms: float, seed: int = 0) -> Floats:
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.01, len(hops_ns)))
    return np.where(np.array(hops_ns) == NEAR_NS, near_ms, far_ms) * noise


def visited(
    hops_ns: Sequence[float] = SPELLS,
    near_ms: float = NEAR_MS,
    far_ms: float = FAR_MS,
    seed: int = 0,
) -> list[Visit]:
    """Of a machine that always gave all that it has in its state."""
    made_ms = times_ms(hops_ns, near_ms, far_ms, seed)
    return visits(made_ms, np.ones(len(hops_ns)), hops_ns=hops_ns)


def cell(*, run: str = "one", runner: str = "onnxruntime", **made: object) -> Record:
    found = record(visited(**made), canary=BOTH_STATES, runner=runner)  # type: ignore[arg-type]
    return found.replaced(run=run)


def states_of(found: Record) -> tuple[StateSummary, ...]:
    assert found.summary is not None
    return found.summary.states


def test_each_state_has_a_time_of_its_own_and_the_shortest_hop_stands_for_the_cell() -> None:
    near, far = states_of(cell())
    assert (near.hop_ns, far.hop_ns) == (NEAR_NS, FAR_NS)
    assert near.p50_ms == pytest.approx(NEAR_MS, rel=0.005)
    assert far.p50_ms == pytest.approx(FAR_MS, rel=0.005)
    assert near.judgement.verdict is far.judgement.verdict is Verdict.VALID
    assert near.visited is not None
    assert far.visited is not None
    assert (near.visited.visits, far.visited.visits) == (100, 50)
    assert near.visited.experienced_p50_ms == far.visited.experienced_p50_ms
    assert [finding.state_share for finding in findings_of([cell()])] == [2 / 3, 1 / 3]


def test_the_state_that_is_known_stands_for_the_cell() -> None:
    """Visits to the near state that scatter by 20 % tell too little of it."""
    hops_ns = [NEAR_NS] * 20 + [FAR_NS] * 100
    made_ms = times_ms(hops_ns, NEAR_MS, FAR_MS)
    made_ms[:20:2] *= 1.2
    made = visits(made_ms, np.ones(len(hops_ns)), hops_ns=hops_ns)
    first, second = states_of(record(made, canary=BOTH_STATES))
    assert (first.hop_ns, first.judgement.verdict) == (FAR_NS, Verdict.VALID)
    assert (second.hop_ns, second.judgement.verdict) == (NEAR_NS, Verdict.UNSTABLE)


def test_a_visit_during_which_the_state_changed_is_in_none() -> None:
    made = visited()
    made[59] = made[59].replaced(after=reading(1.0, FAR_NS))
    states = visit_states(made)
    assert [(state.hop_ns, len(state.visits)) for state in states] == [(NEAR_NS, 99), (FAR_NS, 50)]
    assert visits_in(made, FAR_NS) == list(states[1].visits)


def test_a_state_of_a_moment_is_left_out_unless_there_is_no_other() -> None:
    moment = visited([NEAR_NS] * 100 + [FAR_NS] * 14)
    assert [state.hop_ns for state in visit_states(moment)] == [NEAR_NS]
    assert [len(state.visits) for state in visit_states(moment[:5])] == [5]


def test_visits_that_all_met_a_change_are_of_no_state_and_are_told_together() -> None:
    """Of a run that was interrupted early, on a machine that changes all the time."""
    made = [visit.replaced(after=reading(1.0, FAR_NS)) for visit in visited([NEAR_NS] * 3)]
    (state,) = visit_states(made)
    assert (state.hop_ns, list(state.visits)) == (None, made)
    (summary,) = states_of(record(made, canary=BOTH_STATES))
    assert summary.judgement.verdict is Verdict.UNSTABLE
    assert NEAR_MS < summary.p50_ms < FAR_MS


def test_without_a_hop_there_is_one_state() -> None:
    made = visits(times_ms(SPELLS, NEAR_MS, NEAR_MS), np.ones(len(SPELLS)))
    (state,) = visit_states(made)
    assert (state.hop_ns, len(state.visits)) == (None, len(SPELLS))
    assert visits_in(made, None) == made


def test_the_far_state_is_no_machine_that_others_slow() -> None:
    """Its canary takes longer, too: it is held against that of its own state."""
    (far,) = states_of(cell(hops_ns=[FAR_NS] * 100))
    assert far.judgement.verdict is Verdict.VALID
    assert far.visited is not None
    assert far.visited.delivered_p50 == pytest.approx(1.0)


def test_a_speed_up_is_of_one_state() -> None:
    """Many barriers make one of the two 1.4 times as slow in the far state, the other 1.05."""
    baseline = cell(runner="pytorch", near_ms=20, far_ms=21, seed=1)
    near, far = speedups_of(baseline, cell())
    assert (near.hop_ns, far.hop_ns) == (NEAR_NS, FAR_NS)
    assert near.ratio.value == pytest.approx(2.0, rel=0.01)
    assert far.ratio.value == pytest.approx(1.5, rel=0.01)
    assert (near.pairs and near.pairs.count, far.pairs and far.pairs.count) == (100, 50)
    rows = compare_pair(baseline, cell(), allowed={"runner"})
    assert [row.hop_ns for row in rows] == [NEAR_NS, FAR_NS]


def test_a_run_goes_on_until_the_state_that_stands_for_the_cell_is_known() -> None:
    found = widths(visited(), BOTH_STATES, visited(near_ms=20, far_ms=21, seed=1))
    assert found.known
    assert found.time_ms == pytest.approx(NEAR_MS, rel=0.005)
    assert found.speedup_half_width is not None
    assert found.speedup_half_width < 0.02


def test_runs_are_compared_in_the_states_that_both_met() -> None:
    both, far = cell(), cell(run="two", hops_ns=[FAR_NS] * 100, seed=3)
    (row,) = compare_pair(both, far)
    assert (row.status, row.hop_ns) == (Status.COMPARED, FAR_NS)
    assert row.ratio is not None
    assert row.ratio.value == pytest.approx(1.0, rel=0.01)
    rows = compare_pair(both, cell(run="three", seed=4))
    assert [row.hop_ns for row in rows] == [NEAR_NS, FAR_NS]


def test_runs_that_met_no_common_state_are_not_compared() -> None:
    near, far = cell(hops_ns=[NEAR_NS] * 100), cell(run="two", hops_ns=[FAR_NS] * 100)
    (row,) = compare_pair(near, far)
    assert row.status is Status.NO_COMMON_STATE
    assert row.reason == (
        "the two were never in one state of the machine together: baseline 65 ns, candidate 160 ns"
    )


def test_a_run_from_before_there_was_a_hop_is_compared_with_the_first_state() -> None:
    made = visits(times_ms([NEAR_NS] * 100, NEAR_MS, FAR_MS), np.ones(100))
    (row,) = compare_pair(record(made).replaced(run="old"), cell())
    assert (row.status, row.hop_ns) == (Status.COMPARED, NEAR_NS)
