"""The summary is what its definitions say, on samples whose answer is known."""

from __future__ import annotations

import pytest

from deploybench.analysis.speedups import paired_speedups
from deploybench.analysis.summary import summarise
from deploybench.results.launch import EnergyReading, Facts, Launch
from deploybench.results.record import StateSummary
from tests.records import MS, launch

NEAR, FAR = 105.0, 235.0


def launches(medians_ms: list[float], hop_ns: float | None = None) -> list[Launch]:
    """One steady launch a round."""
    return [launch([ms] * 20, number=number, hop_ns=hop_ns) for number, ms in enumerate(medians_ms)]


def percentile_ms(state: StateSummary, fraction: float) -> float | None:
    (found,) = [item.ms for item in state.percentiles if item.fraction == fraction]
    return found


def test_estimate_is_the_median_of_launch_medians_when_one_launch_was_slow() -> None:
    found = summarise([launch([10, 10, 10]), launch([11, 11, 11]), launch([50, 50, 50])], batch=1)
    assert found is not None
    (state,) = found.states
    assert state.p50_ms == 11
    assert (state.p50_low_ms, state.p50_high_ms, state.p50_coverage) == (10, 50, 0.75)


def test_interval_covers_95_percent_from_six_launches_on() -> None:
    found = summarise(launches([9, 10, 10, 10, 10, 11.5]), batch=1)
    assert found is not None
    assert (found.states[0].p50_coverage or 0) >= 0.95


def test_two_states_of_the_machine_have_an_estimate_each_and_no_number_lies_between() -> None:
    made = launches([8.1, 8.0, 8.2, 8.1], NEAR) + launches([12.9, 12.8, 13.0], FAR)
    found = summarise(made, batch=1)
    assert found is not None
    near, far = found.states
    assert (near.hop_ns, near.launches, near.p50_ms) == (NEAR, 4, pytest.approx(8.1))
    assert (far.hop_ns, far.launches, far.p50_ms) == (FAR, 3, pytest.approx(12.9))
    for state, low, high in ((near, 8.0, 8.2), (far, 12.8, 13.0)):
        times = [state.p50_ms, state.p50_low_ms, state.p50_high_ms, percentile_ms(state, 0.9)]
        assert all(time is not None and low <= time <= high for time in times)
        assert low <= 1000 / state.throughput_per_s <= high + 0.1
        assert state.samples == 20 * state.launches
    assert not {"p50_ms", "throughput_per_s", "percentiles"} & set(type(found).model_fields), (
        "no pooled number"
    )


def test_launch_that_met_a_change_of_state_is_counted_apart() -> None:
    made = [*launches([8.0] * 3, NEAR), launch([10.0] * 20), launch([12.9] * 20, hop_ns=FAR)]
    flip = made[0].model_copy(
        update={
            "surroundings": made[0].surroundings.model_copy(  # type: ignore[union-attr]
                update={"after": made[-1].surroundings.after}
            )
        }
    )  # type: ignore[union-attr]
    found = summarise([*launches([8.0] * 3, NEAR), *launches([12.9] * 3, FAR), flip], batch=1)
    assert found is not None
    assert (found.launches, found.flipped) == (7, 1)
    assert sum(state.launches for state in found.states) == 6


def test_launches_that_were_left_out_are_in_no_figure_of_their_state() -> None:
    calm = launches([10.0] * 3)
    around = calm[0].surroundings
    assert around is not None
    busy = around.model_copy(update={"foreign_cpu_share": 0.5})
    found = summarise([*calm, launch([30.0] * 20, surroundings=busy)], batch=1)
    assert found is not None
    (state,) = found.states
    assert (state.launches, state.left_out, state.samples) == (4, 1, 60)
    assert (state.p50_ms, state.p50_high_ms, percentile_ms(state, 0.9)) == (10, 10, 10)


def test_warm_up_samples_are_in_no_figure() -> None:
    made = launch([90.0] * 5 + [10.0] * 40, warm_up=5, window_ns=400 * MS)
    found = summarise([made] * 3, batch=1)
    assert found is not None
    (state,) = found.states
    assert (state.p50_ms, percentile_ms(state, 0.95), state.samples) == (10, 10, 120)
    assert state.throughput_per_s == pytest.approx(100)


def test_throughput_is_images_over_wall_time_of_the_window_not_one_over_latency() -> None:
    found = summarise([launch([10, 10], window_ns=40 * MS)], batch=8)
    assert found is not None
    assert found.states[0].throughput_per_s == pytest.approx(2 * 8 / 0.040)


def test_cores_used_are_cpu_time_over_wall_time() -> None:
    found = summarise([launch([10, 10], window_ns=40 * MS, window_cpu_ns=60 * MS)], batch=1)
    assert found is not None
    assert found.states[0].cores_used == pytest.approx(1.5)


def test_energy_is_that_of_one_image_over_all_calls_of_the_window() -> None:
    """The meter runs over the warm-up too, so its calls count."""
    reading = EnergyReading(joules=12.0, source="RAPL: package")
    found = summarise([launch([10.0] * 30, warm_up=10, energy=reading)], batch=4)
    assert found is not None
    assert found.states[0].energy_j == pytest.approx(12 / (30 * 4))
    assert found.energy_source == "RAPL: package"


def test_energy_is_absent_with_its_reason_when_no_meter_could_be_read() -> None:
    found = summarise(
        [launch([10.0] * 20, energy=EnergyReading(joules=None, source="no RAPL here"))], batch=1
    )
    assert found is not None
    assert found.states[0].energy_j is None
    assert found.energy_source == "no RAPL here"


def test_cold_start_is_the_sum_of_all_phases_from_process_start_to_the_first_answer() -> None:
    made = launch(
        [10.0] * 20, start_s=0.3, import_s=0.1, load_s=0.2, compile_s=0.05, first_inference_ms=50.0
    )
    assert made.cold_start_s == pytest.approx(0.7)
    found = summarise([made, made, launch([10.0] * 20, start_s=5.0)], batch=1)
    assert found is not None
    assert found.cold_start_s == pytest.approx(0.7)


def test_start_is_that_of_launches_that_compiled_and_of_others_is_told_beside_it() -> None:
    """The first launch on a machine compiles; the median of it and the others is of neither."""
    compiled = _started(compile_s=20.0, from_cache=False)
    found = _started(compile_s=1.0, from_cache=True)
    summary = summarise([compiled, found, found], batch=1)
    assert summary is not None
    assert (summary.compile_s, summary.compiled_afresh) == (20.0, 1)
    assert (summary.cold_start_s, summary.cached_start_s) == (pytest.approx(21), pytest.approx(2))


def test_start_of_launches_that_found_everything_compiled_is_known_as_such() -> None:
    summary = summarise([_started(compile_s=1.0, from_cache=True)] * 2, batch=1)
    assert summary is not None
    assert (summary.compiled_afresh, summary.cached_start_s) == (0, pytest.approx(2))


def _started(compile_s: float, from_cache: bool) -> Launch:
    facts = Facts(precision="fp32", threads=1, provider="p", device="cpu", from_cache=from_cache)
    phases = {"start_s": 0.3, "import_s": 0.2, "load_s": 0.4, "first_inference_ms": 100.0}
    return launch([10.0] * 20, compile_s=compile_s, facts=facts, **phases)


@pytest.mark.parametrize(
    "phase", ["start_s", "import_s", "load_s", "compile_s", "first_inference_ms"]
)
def test_cold_start_is_absent_when_a_phase_is_not_known(phase: str) -> None:
    made = launch([10.0] * 20, **{phase: None})
    assert made.cold_start_s is None
    found = summarise([made], batch=1)
    assert found is not None
    assert found.cold_start_s is None


def test_peak_memory_has_the_baseline_taken_off() -> None:
    found = summarise([launch([10, 10])], batch=1)
    assert found is not None
    assert found.peak_bytes == 100 << 20
    assert found.baseline_bytes == 50 << 20


def test_tail_percentiles_are_absent_until_all_launches_together_have_enough_samples() -> None:
    few, many = summarise([launch([1.0] * 100)] * 3, 1), summarise([launch([1.0] * 100)] * 4, 1)
    assert few is not None
    assert percentile_ms(few.states[0], 0.99) is None
    p99 = next(item for item in few.states[0].percentiles if item.fraction == 0.99)
    assert (p99.samples, p99.needed, p99.low_ms, p99.high_ms) == (300, 368, None, None)
    assert many is not None
    assert percentile_ms(many.states[0], 0.99) == 1.0
    assert percentile_ms(many.states[0], 0.999) is None


def test_summary_is_absent_when_nothing_was_measured() -> None:
    assert summarise([], 1) is None
    assert summarise([Launch(error="killed")], 1) is None


def test_speedup_is_paired_by_round_when_the_machine_slows_down_in_one_round() -> None:
    (speedup,) = paired_speedups(launches([20, 40, 20]), launches([10, 20, 10]))
    ratio = speedup.ratio
    assert (speedup.hop_ns, speedup.changed, ratio.count) == (None, 0, 3)
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((2, 2, 2))


def test_speedup_pairs_launches_of_the_same_round_whatever_their_order() -> None:
    eager, other = launches([20, 40, 60]), launches([10, 20, 30])
    (speedup,) = paired_speedups(eager, other[::-1])
    ratio = speedup.ratio
    assert (ratio.low, ratio.high) == pytest.approx((2, 2))


def test_speedup_is_within_a_state_and_rounds_that_compare_two_states_are_set_aside() -> None:
    near = [(20.0, NEAR, 10.0, NEAR)] * 4
    far = [(30.0, FAR, 20.0, FAR)] * 3
    across = [(20.0, NEAR, 20.0, FAR), (30.0, FAR, 10.0, NEAR)]
    rounds = list(enumerate(near + far + across))
    eager = [launch([ms] * 20, number=number, hop_ns=hop) for number, (ms, hop, _, _) in rounds]
    other = [launch([ms] * 20, number=number, hop_ns=hop) for number, (_, _, ms, hop) in rounds]
    first, second = paired_speedups(eager, other)
    assert (first.hop_ns, first.ratio.value, first.ratio.count, first.changed) == pytest.approx(
        (NEAR, 2, 4, 2)
    )
    assert (second.hop_ns, second.ratio.value, second.ratio.count, second.changed) == pytest.approx(
        (FAR, 1.5, 3, 2)
    )


def test_round_in_which_one_launch_met_a_change_of_state_is_set_aside() -> None:
    eager, other = launches([20.0] * 3, NEAR), launches([10.0] * 3, NEAR)
    far = launch([10.0] * 20, hop_ns=FAR).surroundings
    assert far is not None
    assert other[1].surroundings is not None
    changed = other[1].surroundings.model_copy(update={"after": far.after})
    other[1] = other[1].model_copy(update={"surroundings": changed})
    (speedup,) = paired_speedups(eager, other)
    assert (speedup.ratio.count, speedup.changed) == (2, 1)


def test_speedup_is_absent_when_no_round_has_both() -> None:
    assert paired_speedups([launch([20.0] * 20, number=0)], [launch([10.0] * 20, number=1)]) == []
    assert paired_speedups([], launches([10.0])) == []


def test_time_on_the_device_is_the_median_of_launch_medians_after_the_warm_up() -> None:
    warmed = [
        launch([9, 5, 5], warm_up=1, device_ns=(80 * MS, (ms - 1) * MS, (ms + 1) * MS))
        for ms in (2, 3, 7)
    ]
    found = summarise(warmed, batch=1)
    assert found is not None
    assert found.states[0].device_p50_ms == 3
    without = summarise([launch([9, 5, 5])] * 3, batch=1)
    assert without is not None
    assert without.states[0].device_p50_ms is None
