"""The measured peaks: the most of all runs, looked for again in each, too low only where said."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from deploybench.children.processes import ChildOutcome
from deploybench.contracts.registry import recorded_distributions
from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder
from deploybench.hardware.host import describe_host
from deploybench.hardware.profile_of_host import new_profile
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.results.visit import CanaryReading
from deploybench.telemetry import peaks
from deploybench.telemetry.canary import gflops_of, products_of
from deploybench.telemetry.canary_memory import FEWEST_READINGS, remember
from deploybench.telemetry.peak_work import ALWAYS, PeakRequest, PeakRun
from deploybench.telemetry.peaks import BY_PRODUCTS, measured_peaks, needs_torch, peaks_of
from deploybench.telemetry.remembered import MOST_RUNS
from tests.known_peaks import know_peaks
from tests.records import host

OTHERS = "other processes took 60% of the CPUs"


def run(
    fp32: float = 180.0,
    copy: float = 20.0,
    torch: float | None = None,
    disturbed: str | None = None,
    ago: timedelta = timedelta(hours=1),
) -> PeakRun:
    figures = {"fp32 by numpy": fp32, "copy": copy, "read": copy / 2}
    if torch is not None:
        figures["fp32 by torch"] = torch
    at = datetime.now(timezone.utc) - ago
    return PeakRun(at=at, figures=figures, disturbed=disturbed)


class Measurements:
    """What the measuring child will say, first to last, and what it was asked."""

    def __init__(self) -> None:
        self.left: list[PeakRun] = []
        self.asked: list[PeakRequest] = []

    def child(self, module: str, request: str, **_: object) -> ChildOutcome:
        assert module == "deploybench.telemetry.peak_work"
        self.asked.append(PeakRequest.model_validate_json(request))
        if not self.left:
            return ChildOutcome(None, "killed by SIGKILL", "")
        return ChildOutcome(self.left.pop(0).model_dump_json().encode(), None, "")


@pytest.fixture
def measurements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measurements:
    """A child that says what a test wants; the cache is empty."""
    made = Measurements()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(peaks, "run_child", made.child)
    return made


def peaks_now() -> MeasuredPeaks:
    found = measured_peaks(host(), 2)
    assert found is not None
    return found


def test_peaks_are_the_most_of_all_runs(measurements: Measurements) -> None:
    measurements.left += [run(180, copy=20), run(170, copy=25), run(190, copy=10)]
    assert peaks_now().gflops == {"fp32": 180}
    assert peaks_now().gflops == {"fp32": 180}
    third = peaks_now()
    assert third.gflops == {"fp32": 190}
    assert (third.copy_gb_per_s, third.read_gb_per_s) == (25, 12.5)
    assert third.method.startswith("the most of 3 runs: 1024 x 1024 or 2048 x 2048 products")


def test_peaks_that_tests_make_known_are_not_looked_for(measurements: Measurements) -> None:
    """Otherwise each run of each test would look for them."""
    know_peaks(cache_folder())
    this_one = describe_host(recorded_distributions())
    for threads in (1, this_one.usable_cores):
        found = measured_peaks(this_one, threads)
        assert found is not None
        assert set(found.gflops) == set(BY_PRODUCTS)
        assert found.disturbed is None
    assert measurements.asked == []


def test_order_of_runs_does_not_matter_to_the_peaks() -> None:
    runs = [run(180), run(150, copy=30), run(100, torch=200)]
    assert peaks_of(runs, 2) == peaks_of(runs[::-1], 2)


def test_a_run_with_a_cache_looks_shortly_and_without_torch(measurements: Measurements) -> None:
    measurements.left += [run(torch=200) for _ in range(3)]
    for _ in range(3):
        peaks_now()
    first, second, third = measurements.asked
    assert first.seconds >= len(first.pieces)
    assert "fp32 by torch" in second.pieces
    assert second.seconds <= 1.5
    assert third.pieces == ALWAYS
    assert third.seconds <= 1


@pytest.mark.parametrize(
    ("ago", "disturbed", "looks"),
    [
        (timedelta(minutes=1), None, 1),
        (timedelta(minutes=1), OTHERS, 2),
        (timedelta(minutes=11), None, 2),
        (timedelta(days=-1), None, 2),
    ],
)
def test_what_was_just_looked_for_in_peace_is_not_looked_for_again(
    ago: timedelta, disturbed: str | None, looks: int, measurements: Measurements
) -> None:
    measurements.left += [run(ago=ago, disturbed=disturbed), run()]
    peaks_now()
    peaks_now()
    assert len(measurements.asked) == looks


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([], True),
        ([run(torch=200)], True),
        ([run(torch=200), run(torch=200)], False),
        ([run(torch=200), run(torch=200), run(182)], False),
        ([run(torch=200), run(torch=200), run(200)], True),
        ([run(torch=200), run(torch=200), run(200), run(200, torch=230)], False),
    ],
)
def test_torch_is_measured_again_where_it_was_slowed(runs: list[PeakRun], expected: bool) -> None:
    """The product by numpy, which every run has, tells whether it was."""
    assert needs_torch(runs) is expected


def test_no_peak_of_bf16_where_it_is_emulated(measurements: Measurements) -> None:
    measured_peaks(host(isa=("avx2",)), 2)
    measured_peaks(host(isa=("avx512_bf16",)), 2)
    without, with_flag = measurements.asked
    assert "bf16 by torch" not in without.pieces
    assert "bf16 by torch" in with_flag.pieces


def test_peaks_that_others_disturbed_are_said_to_be_too_low(measurements: Measurements) -> None:
    measurements.left += [run(56, disturbed=OTHERS), run(180), run(60, disturbed=OTHERS)]
    assert peaks_now().disturbed == OTHERS
    assert peaks_now().disturbed is None
    # What a quiet run found stands.
    third = peaks_now()
    assert third.disturbed is None
    assert third.gflops == {"fp32": 180}


def test_no_profile_is_made_of_peaks_that_others_disturbed(measurements: Measurements) -> None:
    measurements.left.append(run(disturbed=OTHERS))
    with pytest.raises(DeployBenchError, match="too low: other processes took 60%"):
        new_profile("mine", "cpu", host(), measure=measured_peaks)


def test_what_earlier_runs_found_stands_where_measuring_fails(measurements: Measurements) -> None:
    measurements.left.append(run())
    assert peaks_now() == peaks_now()


def test_there_are_no_peaks_where_nothing_was_ever_measured(measurements: Measurements) -> None:
    assert measured_peaks(host(), 2) is None


def test_a_broken_cache_is_nothing_known(measurements: Measurements, tmp_path: Path) -> None:
    measurements.left += [run(180), run(170)]
    peaks_now()
    (path,) = (tmp_path / "deploybench").iterdir()
    path.write_text('[{"at": "2026-11-27T00:00:00Z", "figures": {"fp32 by numpy": Infinity}}]')
    assert peaks_now().gflops == {"fp32": 170}


def test_the_most_is_not_forgotten_among_many_slow_runs(measurements: Measurements) -> None:
    measurements.left += [run(180), *(run(100, disturbed=OTHERS) for _ in range(MOST_RUNS + 3))]
    for _ in range(MOST_RUNS + 4):
        found = peaks_now()
    assert found.gflops == {"fp32": 180}
    assert found.disturbed is None


def test_the_canary_counts_where_it_was_faster(measurements: Measurements) -> None:
    measurements.left += [run(180), run(180)]
    compute_us = 10_000.0
    reading = CanaryReading(compute_us=compute_us, memory_us=1.0)
    remember(host(), 2, [reading] * FEWEST_READINGS)
    # Three products of 768 x 768 in 10 ms.
    assert gflops_of(compute_us, 2) == pytest.approx(products_of(2) * 2 * 768**3 / 0.01 / 1e9)
    assert peaks_now().gflops == {"fp32": gflops_of(compute_us, 2)}
    assert measured_peaks(host(), 1) is not None


def test_peaks_are_at_least_what_was_reached() -> None:
    found = MeasuredPeaks(
        threads=2, gflops={"fp32": 180}, copy_gb_per_s=20, read_gb_per_s=25, method="test"
    )
    assert found.at_least({"fp32": 170, "int8": 900}, gb_per_s=24) == found
    raised = found.at_least({"fp32": 200}, gb_per_s=30)
    assert raised.gflops == {"fp32": 200}
    assert raised.memory_gb_per_s == 30


def test_int8_has_a_peak_where_it_is_faster_than_fp32_and_none_where_it_is_not() -> None:
    figures = run(180, torch=190).figures
    fast = PeakRun(figures={**figures, "bf16 by torch": 600, "int8 by torch": 1200})
    slow = PeakRun(figures={**figures, "bf16 by torch": 600, "int8 by torch": 20})

    assert peaks_of([fast], 2).gflops == {"fp32": 190, "bf16": 600, "int8": 1200}
    without = peaks_of([slow], 2)
    assert without.gflops == {"fp32": 190, "bf16": 600}
    assert "int8 at 20 GFLOP/s is slower than fp32: no peak" in without.method
