"""The estimate of a cell that was visited: undisturbed, and as experienced."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deploybench.analysis.process_effects import effects_of
from deploybench.analysis.summary import summarise
from deploybench.results.launch import EnergyReading, Launch
from deploybench.results.record import StateSummary, Visited
from deploybench.results.visit import Visit
from tests.records import launch
from tests.visited_cells import BEST, contended, reading, times_ms, visits

ROUNDS = 240


def state_of(made: list[Visit], batch: int = 1, **canary: object) -> StateSummary:
    summary = summarise([launch([10.0] * 20)] * 2, batch, made, canary.get("canary", BEST))  # type: ignore[arg-type]
    assert summary is not None
    (state,) = summary.states
    return state


def visited_of(state: StateSummary) -> Visited:
    assert state.visited is not None
    return state.visited


def on_a_busy_machine() -> list[Visit]:
    generator = np.random.default_rng(0)
    delivered = contended(generator, ROUNDS, calm=0.35, slowest=0.5)
    return visits(times_ms(generator, delivered), delivered)


def test_undisturbed_and_experienced_are_two_times() -> None:
    state = state_of(on_a_busy_machine())
    visited = visited_of(state)

    assert state.p50_ms == pytest.approx(10.0, rel=0.01)
    assert state.p50_low_ms is not None
    assert state.p50_high_ms is not None
    assert state.p50_low_ms < 10.0 < state.p50_high_ms
    assert state.p50_coverage == 0.95
    assert visited.experienced_p50_ms > 12
    assert visited.basis == "calm visits"
    assert visited.known
    assert visited.slope == pytest.approx(-1.0, abs=0.1)
    assert (visited.visits, visited.processes) == (ROUNDS, 2)
    assert visited.delivered_p10 is not None
    assert visited.delivered_p50 is not None
    assert visited.delivered_p10 < visited.delivered_p50 < 1


def test_percentiles_are_as_experienced() -> None:
    state = state_of(on_a_busy_machine())
    percentiles = {percentile.fraction: percentile for percentile in state.percentiles}

    assert percentiles[0.5].ms == pytest.approx(visited_of(state).experienced_p50_ms, rel=0.01)
    assert percentiles[0.9].ms is not None
    assert percentiles[0.9].ms > 15
    assert state.samples == percentiles[0.5].samples == 12 * ROUNDS


def test_the_interval_of_a_percentile_knows_that_neighbouring_visits_are_alike() -> None:
    """As many slow visits as fast ones: one after the other, or in spells of twenty."""
    mixed = visits([10.0, 20.0] * 80)
    spells = visits(([10.0] * 20 + [20.0] * 20) * 4)

    def width(made: list[Visit]) -> float:
        (p90,) = [item for item in state_of(made, canary=None).percentiles if item.fraction == 0.9]
        assert p90.ms is not None or p90.needed > p90.samples
        if p90.low_ms is None or p90.high_ms is None:
            return math.inf
        return p90.high_ms - p90.low_ms

    assert width(spells) > width(mixed)


def test_throughput_is_undisturbed_and_counts_the_images_of_a_batch() -> None:
    state = state_of(on_a_busy_machine(), batch=4)

    assert state.throughput_per_s == pytest.approx(400, rel=0.01)


def test_without_a_canary_the_time_is_as_experienced() -> None:
    made = visits(10 * np.exp(np.random.default_rng(1).normal(0, 0.01, 100)))
    state = state_of(made, canary=None)
    visited = visited_of(state)

    assert visited.basis == "no canary"
    assert visited.known
    assert state.p50_ms == pytest.approx(visited.experienced_p50_ms)
    assert visited.delivered_p50 is None
    assert visited.whole_ms is None


def test_a_visit_without_a_reading_counts_as_experienced_alone() -> None:
    made = on_a_busy_machine()
    blind = [visit.replaced(before=None, after=None) for visit in made[:40]]
    state = state_of(blind + made[40:])

    assert state.samples == sum(visit.count for visit in made)
    assert visited_of(state).visits == ROUNDS
    assert visited_of(state).calm_visits <= ROUNDS - 40


def test_one_reading_of_the_canary_is_enough() -> None:
    made = [visit.replaced(after=None) for visit in on_a_busy_machine()]

    assert visited_of(state_of(made)).known


def test_a_visit_is_calm_only_when_both_readings_were() -> None:
    made = [visit.replaced(after=reading(0.8)) for visit in visits([10.0] * 60, [1.0] * 60)]

    assert visited_of(state_of(made)).calm_visits == 0


def test_processes_that_differ_are_told() -> None:
    generator = np.random.default_rng(2)
    levels = np.where(np.arange(ROUNDS) % 2, 1.03, 1.0)
    alike = times_ms(generator, np.ones(ROUNDS))

    assert visited_of(state_of(visits(alike, np.ones(ROUNDS)))).process_shift == 0.0
    visited = visited_of(state_of(visits(alike * levels, np.ones(ROUNDS))))
    assert visited.process_shift == pytest.approx(0.03, abs=0.005)
    assert not visited.known, "which of two is the usual one?"


def test_of_four_processes_the_interval_spans_what_another_one_would_be() -> None:
    generator = np.random.default_rng(3)
    levels = np.array([1.0, 1.02, 0.99, 1.01])[np.arange(ROUNDS) % 4]
    times = times_ms(generator, np.ones(ROUNDS))
    alike = state_of(visits(times, np.ones(ROUNDS), processes=4))
    state = state_of(visits(times * levels, np.ones(ROUNDS), processes=4))

    assert visited_of(state).known
    # They differ by a standard deviation of 1.3 %, more than is usual: that is believed, by three
    # differences and the eight that are usual. Student's interval of eleven, 2.20 x 1.3 % / 2.
    assert visited_of(state).process_error == pytest.approx(0.015, abs=0.003)
    assert state.p50_high_ms is not None
    assert alike.p50_high_ms is not None
    assert state.p50_high_ms - state.p50_ms > 0.1
    assert alike.p50_high_ms - alike.p50_ms < 0.07


def test_levels_of_processes_are_no_dependence_of_visits() -> None:
    """One process alone at first, then three more, one 15 % faster: visits of the two levels seem
    to depend on each other, unless what processes differ by is told apart."""
    generator = np.random.default_rng(8)
    times = np.exp(generator.normal(math.log(10), 0.01, ROUNDS))
    made = []
    for number, visit in enumerate(visits(times, np.ones(ROUNDS), processes=2)):
        process = number % 4 if number >= 40 else 0
        faster_ns = tuple(round(value * 0.85) for value in visit.samples_ns)
        made.append(
            visit.replaced(
                process=process, samples_ns=faster_ns if process == 2 else visit.samples_ns
            )
        )

    visited = visited_of(state_of(made))

    assert visited.known
    assert visited.process_shift == pytest.approx(0.176, abs=0.02)
    assert visited.process_error > 0.05, "which of the two levels is usual is not known"


def test_one_process_tells_nothing_of_others_and_its_interval_spans_what_is_usual() -> None:
    visited = visited_of(state_of(visits([10.0] * 40, [1.0] * 40, processes=1)))

    assert visited.process_shift is None
    # Student's interval of eight, 2.31 x 0.5 %.
    assert visited.process_error == pytest.approx(0.0116, abs=0.0002)


def test_of_processes_that_agree_more_tell_more() -> None:
    times = times_ms(np.random.default_rng(5), np.ones(ROUNDS))
    errors = []
    for processes in (1, 2, 4, 8):
        made = visits(times, np.ones(ROUNDS), processes=processes)
        errors.append(visited_of(state_of(made)).process_error)

    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


def test_process_that_was_hardly_visited_tells_hardly_anything() -> None:
    times = times_ms(np.random.default_rng(6), np.ones(ROUNDS))
    made = visits(times, np.ones(ROUNDS), processes=1)
    late = [visit.replaced(process=1) for visit in made[-10:]]
    turns = visits(times, np.ones(ROUNDS), processes=2)

    one = visited_of(state_of(made)).process_error
    with_late = visited_of(state_of([*made[:-10], *late])).process_error
    assert visited_of(state_of(turns)).process_error < 0.7 * one < 0.85 * with_late


def test_a_few_visits_have_a_time_and_no_interval() -> None:
    state = state_of(visits([10.0, 11.0, 12.0], [1.0] * 3))

    assert state.p50_ms == pytest.approx(11.0)
    assert (state.p50_low_ms, state.p50_high_ms, state.p50_coverage) == (None, None, None)
    assert visited_of(state).experienced_low_ms is None


def test_energy_is_that_of_the_visits_and_else_that_of_the_launches() -> None:
    made = visits([10.0] * 40, [1.0] * 40)
    metered = [visit.replaced(joules=6.0) for visit in made]
    started = launch([10.0] * 30, energy=EnergyReading(joules=12.0, source="RAPL: package"))

    def energy_j(made: list[Visit]) -> float | None:
        summary = summarise([started], 4, made, BEST)
        assert summary is not None
        return summary.states[0].energy_j

    assert energy_j(metered) == pytest.approx(6 / (12 * 4))
    assert energy_j(made) == pytest.approx(12 / (30 * 4))


def test_what_a_start_shows_is_still_from_the_launches() -> None:
    made = visits([10.0] * 40, [1.0] * 40)
    summary = summarise([launch([10.0] * 20), launch([10.0] * 20, load_s=0.4)], 1, made, BEST)

    assert summary is not None
    assert (summary.launches, summary.flipped) == (2, 0)
    assert summary.load_s == pytest.approx(0.3)
    assert summary.peak_bytes == 100 << 20
    assert summary.states[0].cores_used == pytest.approx(2.0)


def test_visits_without_samples_leave_the_summary_to_the_launches() -> None:
    empty = Visit(round=0, order=0, process=0, at_s=0.0, window_ns=0)
    summary = summarise([launch([10.0] * 20)] * 6, 1, [empty], BEST)

    assert summary is not None
    assert summary.states[0].visited is None
    assert summary.states[0].launches == 6
    assert summarise([Launch(error="killed")], 1, visits([10.0]), BEST) is None


def test_processes_of_few_visits_that_all_say_the_same_differ() -> None:
    """Too few for an interval at the confidence that is asked for: the sign test tells."""
    generator = np.random.default_rng(9)
    times = np.exp(generator.normal(math.log(10), 0.01, 48))
    turns = np.arange(48) % 4
    apart = effects_of(np.log(np.where(turns == 1, 0.85 * times, times)), turns)
    alike = effects_of(np.log(times), turns)

    assert apart.shift == pytest.approx(0.163, abs=0.02)
    assert alike.shift == 0
