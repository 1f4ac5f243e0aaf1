"""The measured peaks: kept when the machine was quiet, said to be too low when it was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploybench.hardware.profile_of_host import new_profile
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.processes import ChildOutcome
from deploybench.telemetry import peaks
from deploybench.telemetry.activity import Activity
from deploybench.telemetry.peaks import measured_peaks
from tests.records import host

QUIET = MeasuredPeaks(
    threads=2, gflops={"fp32": 180.0}, copy_gb_per_s=20.0, read_gb_per_s=20.0, method="test"
)
BUSY = QUIET.model_copy(
    update={"gflops": {"fp32": 56.0}, "disturbed": "other processes took 60% of the CPUs"}
)


@pytest.fixture
def replies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[MeasuredPeaks]:
    """What the measuring child will say, first to last; the cache is empty."""
    left: list[MeasuredPeaks] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(
        peaks,
        "run_child",
        lambda *_, **__: ChildOutcome(left.pop(0).model_dump_json().encode(), None, ""),
    )
    return left


def test_peaks_of_a_quiet_machine_are_measured_once(replies: list[MeasuredPeaks]) -> None:
    replies.append(QUIET)
    assert measured_peaks(host(), 2) == measured_peaks(host(), 2) == QUIET


def test_peaks_that_others_disturbed_are_measured_again(replies: list[MeasuredPeaks]) -> None:
    replies += [BUSY, QUIET]
    assert measured_peaks(host(), 2) == BUSY
    assert measured_peaks(host(), 2) == QUIET


def test_no_profile_is_made_of_peaks_that_others_disturbed(replies: list[MeasuredPeaks]) -> None:
    replies.append(BUSY)
    with pytest.raises(peaks.DeployBenchError, match="too low: other processes took 60%"):
        new_profile("mine", "cpu", host(), measure=measured_peaks)


def activity(foreign: float | None) -> Activity:
    return Activity(
        wall_s=4.0,
        foreign_cpu_share=foreign,
        steal_share=0.0,
        share_resolution=0.0025,
        involuntary_switches=0,
        load_1m=0.0,
        frequency_mhz=None,
        throttle_events=None,
    )


@pytest.mark.parametrize(
    ("foreign", "words"), [(None, None), (0.02, None), (0.25, "other processes took 25%")]
)
def test_disturbed_is_more_than_an_idle_system_does(
    foreign: float | None, words: str | None
) -> None:
    found = peaks._disturbed(activity(foreign), cpus=2)
    assert (found is None) == (words is None)
    assert found is None or found.startswith(str(words))
