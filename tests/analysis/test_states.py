"""The states of the machine, and which launches count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploybench.analysis.disturbances import disturbances
from deploybench.analysis.states import flipped, states_of
from deploybench.results.launch import GpuReading, Launch, Probes
from deploybench.statistics.levels import levels_of, nearest
from tests.records import launch, surroundings

NEAR, FAR = 105.0, 235.0


def at(hop_ns: float | None, after_ns: float | None = None, **around: object) -> Launch:
    return launch([10.0] * 20, surroundings=surroundings(hop_ns, after_ns, **around))


@pytest.mark.parametrize(("low", "high"), [(105, 235), (33, 180), (100, 150)])
def test_readings_at_two_levels_are_two_states(low: float, high: float) -> None:
    readings = [low * 1.02, high, low, high * 0.99, low * 0.98]
    assert levels_of(readings) == pytest.approx([low, 0.995 * high], rel=1e-4)


def test_scatter_under_40_percent_from_reading_to_reading_is_one_state() -> None:
    assert levels_of([100, 139, 120, 110]) == [115]


def test_level_is_the_median_of_its_readings_when_one_is_far_out() -> None:
    assert levels_of([100, 101, 102, 103, 135]) == [102]


def test_no_readings_are_no_states() -> None:
    assert levels_of([]) == []


@given(st.lists(st.floats(10, 1000), min_size=1, max_size=30))
def test_levels_ascend_and_none_is_outside_the_readings(hops: list[float]) -> None:
    levels = levels_of(hops)
    assert levels == sorted(levels)
    assert min(hops) <= levels[0]
    assert levels[-1] <= max(hops)
    assert len(set(levels)) == len(levels) <= len(hops)


def test_readings_of_one_normal_scatter_are_one_state_whatever_their_number() -> None:
    draw = np.random.default_rng(0)
    for count in (6, 12, 40, 200):
        for _ in range(50):
            assert len(levels_of(list(100 * np.exp(draw.normal(0, 0.08, count))))) == 1


def test_reading_belongs_to_the_level_that_is_nearest_by_ratio() -> None:
    assert nearest([100, 400], 190) == 100
    assert nearest([100, 400], 210) == 400, "nearer to 100 by difference, not by ratio"


def test_launches_are_told_apart_by_the_hop_and_the_state_seen_most_comes_first() -> None:
    found = states_of([at(NEAR), at(FAR), at(FAR * 1.03), at(FAR * 0.98)])
    assert [(state.hop_ns, len(state.launches)) for state in found] == [(FAR, 3), (NEAR, 1)]


def test_launch_during_which_the_machine_changed_is_in_no_state() -> None:
    before, changed = [at(NEAR)] * 3 + [at(FAR)] * 3, at(NEAR, FAR)
    found = states_of([*before, changed])
    assert flipped(changed, [NEAR, FAR])
    assert not flipped(before[0], [NEAR, FAR])
    assert [len(state.launches) for state in found] == [3, 3]
    assert all(changed not in state.launches for state in found)


def test_machine_without_a_hop_probe_has_one_state_without_a_name() -> None:
    (state,) = states_of([at(None), at(None), launch([10.0] * 20, surroundings=None)])
    assert state.hop_ns is None
    assert len(state.launches) == 3


def test_launch_that_was_not_measured_is_in_no_state() -> None:
    assert states_of([Launch(error="killed")]) == []


def test_disturbed_launches_are_left_out_when_three_others_are_calm() -> None:
    calm, disturbed = [at(NEAR)] * 3, [at(NEAR, foreign_cpu_share=0.2)] * 5
    (state,) = states_of([*disturbed, *calm])
    assert state.counted == tuple(calm)
    assert len(state.launches) == 8


def test_disturbed_launches_count_when_only_two_others_are_calm() -> None:
    launches = [at(NEAR)] * 2 + [at(NEAR, foreign_cpu_share=0.2)] * 5
    (state,) = states_of(launches)
    assert state.counted == tuple(launches)


def test_calm_launches_of_another_state_do_not_replace_the_disturbed_ones_of_this() -> None:
    near, far = [at(NEAR, steal_share=0.1)] * 4, [at(FAR)] * 3
    assert [len(state.counted) for state in states_of([*near, *far])] == [4, 3]


@pytest.mark.parametrize(
    ("around", "words"),
    [
        ({"foreign_cpu_share": 0.25}, ["other processes took 25% of the CPUs"]),
        ({"foreign_cpu_share": 0.025}, []),
        ({"foreign_cpu_share": 0.5 / 32, "cpus": 32}, ["other processes took 2% of the CPUs"]),
        ({"foreign_cpu_share": 0.1, "share_resolution": 0.2}, []),
        ({"steal_share": 0.04}, ["the hypervisor took 4% of the CPUs"]),
        ({"steal_share": 0.03}, []),
        ({"throttle_events": 7}, ["the CPU was throttled because of heat"]),
        ({"throttle_events": 0}, []),
        ({"foreign_cpu_share": None, "steal_share": None, "throttle_events": None}, []),
        ({"involuntary_switches": 10**6, "load_1m": 9.0}, []),
    ],
)
def test_disturbance_is_named_in_words_only_over_its_allowance(
    around: dict[str, object], words: list[str]
) -> None:
    assert [found.what for found in disturbances(at(NEAR, **around))] == words


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ({"other_processes": 2}, ["2 other processes computed on the GPU"]),
        (
            {"other_processes": 1, "other_bytes": 3 << 29},
            ["another process computed on the GPU and held 1.5 GiB of it"],
        ),
        ({"throttle_reasons": ("sync boost", "hot")}, ["the GPU was slowed down: hot, sync boost"]),
        ({"throttle_reasons": ("idle", "application clocks", "software power cap")}, []),
        ({"other_processes": None, "throttle_reasons": None}, []),
    ],
)
def test_disturbance_of_the_gpu_is_named_in_words(
    reading: dict[str, object], words: list[str]
) -> None:
    unread = dict.fromkeys(GpuReading.model_fields)
    gpu = GpuReading.model_validate({**unread, "missing": {}, "provenance": "measured", **reading})
    assert [found.what for found in disturbances(at(None, gpu=gpu))] == words


def test_launch_that_did_not_settle_is_disturbed_in_its_own_words_first() -> None:
    found = at(NEAR, foreign_cpu_share=0.5).model_copy(
        update={"unsettled": "still warming up after 9 of 20 calls"}
    )
    first, _ = disturbances(found)
    assert first.what == "still warming up after 9 of 20 calls"
    assert disturbances(found.model_copy(update={"surroundings": None})) == [first]


def test_every_disturbance_says_what_to_do() -> None:
    found = disturbances(at(NEAR, foreign_cpu_share=0.5, steal_share=0.5, throttle_events=1))
    assert len(found) == 3
    assert all(item.advice for item in found)


def test_readings_between_two_levels_do_not_make_them_one() -> None:
    near = [100.0, 104, 108, 112, 118, 126]
    far = [195.0, 205, 212, 218, 224, 236]
    assert len(levels_of([*near, 138.0, 160.0, *far])) == 2


def test_launch_whose_second_probe_failed_is_in_no_state() -> None:
    lost = at(NEAR)
    assert lost.surroundings is not None
    lost = lost.model_copy(
        update={"surroundings": lost.surroundings.model_copy(update={"after": Probes()})}
    )
    (state,) = states_of([at(NEAR)] * 3 + [lost])
    assert len(state.launches) == 3
