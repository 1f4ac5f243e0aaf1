"""One launch's window with what was seen around it, on made-up windows."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from deploybench.measure import timed
from deploybench.measure.calls import Call
from deploybench.measure.job import Job
from deploybench.measure.loop import Window
from deploybench.measure.steady import Steady, find_steady
from deploybench.measure.timed import TimedCalls, time_calls
from deploybench.results.launch import EnergyReading, Surroundings
from deploybench.telemetry import gpu
from deploybench.telemetry.energy import EnergyMeter, Unavailable
from deploybench.telemetry.gpu import GpuSample

MS = 1_000_000
STEADY, RAMP = [10] * 20, list(range(30, 10, -1))


def window(samples_ms: list[int]) -> Window:
    """One call after the other with 1 ms between them; half a core busy."""
    samples = [ms * MS for ms in samples_ms]
    ends = [sum(samples[: number + 1]) + number * MS for number in range(len(samples))]
    return Window(tuple(samples), tuple(ends), ends[-1] // 2, tuple(samples), (0,) * len(samples))


def timed_with(
    monkeypatch: pytest.MonkeyPatch, *windows: list[int], **changes: object
) -> tuple[TimedCalls, int]:
    """What is found when the windows come one after the other, and how many of them were taken."""
    coming = iter(windows)
    taken = []

    def next_window(*arguments: object) -> Window:
        taken.append(arguments)
        return window(next(coming))

    monkeypatch.setattr(timed, "_window", next_window)
    monkeypatch.setattr(timed, "open_meter", lambda device: Unavailable("no meter in this test"))
    job = Job(
        artifact="", runner="r", device="cpu", precision="fp32", batch=1, threads=2, probes=False
    )
    found = time_calls(
        job.model_copy(update=changes), [Call(lambda: None)], [lambda: None], frozenset({0})
    )
    return found, len(taken)


def test_launch_that_has_settled_takes_one_window(monkeypatch: pytest.MonkeyPatch) -> None:
    found, windows = timed_with(monkeypatch, STEADY, STEADY)
    assert windows == 1
    assert (found.warm_up, found.unsettled) == (0, None)
    assert len(found.samples_ns) == 20


def test_launch_that_settles_later_is_timed_on_and_keeps_all_its_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, windows = timed_with(monkeypatch, [30] * 6 + [10] * 10, [10] * 16, STEADY)
    assert windows == 2
    assert (found.warm_up, found.unsettled) == (6, None)
    assert len(found.samples_ns) == len(found.sample_cpu_ns) == 32


def test_launch_that_never_settles_is_at_most_three_windows_long_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, windows = timed_with(monkeypatch, RAMP, RAMP, RAMP, STEADY)
    assert windows == 3
    assert found.unsettled
    assert len(found.samples_ns) == 60


def test_window_of_throughput_begins_after_the_warm_up_and_has_its_share_of_the_cpu_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _ = timed_with(monkeypatch, [100] * 5 + [10] * 35)
    assert found.warm_up == 5
    assert found.window_ns == 35 * 11 * MS
    assert found.window_cpu_ns == pytest.approx(35 * 11 * MS / 2, rel=1e-6)


def test_probes_are_read_before_and_after_with_the_budget_of_the_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[int, frozenset[int]]] = []

    def probe(threads: int, cpus: frozenset[int]) -> dict[str, object]:
        asked.append((threads, cpus))
        return {"compute_us": 40.0 + len(asked), "memory_ms": 3.0, "hop_ns": 100.0 * len(asked)}

    monkeypatch.setattr(timed, "probe_machine", probe)
    found, _ = timed_with(monkeypatch, STEADY, probes=True)
    around = found.surroundings
    assert isinstance(around, Surroundings)
    assert asked == [(2, frozenset({0}))] * 2
    assert around.hops == [100, 200]
    assert around.gpu is None


def test_energy_that_no_meter_reads_is_absent_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found, _ = timed_with(monkeypatch, STEADY)
    assert found.energy == EnergyReading(joules=None, source="no meter in this test")


@pytest.mark.parametrize(("device", "threads"), [("cpu", 2), ("cuda", 1), ("cuda:1", 1)])
def test_way_between_two_cores_is_probed_for_cells_of_the_cpu_only(
    device: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[int] = []

    def probe(budget: int, cpus: frozenset[int]) -> dict[str, object]:
        probed.append(budget)
        return {"compute_us": 1.0}

    monkeypatch.setattr(timed, "probe_machine", probe)
    monkeypatch.setattr(gpu, "read_gpu", lambda index: GpuSample(power_w=float(index)))
    monkeypatch.setattr(gpu, "open_nvml", lambda: Nvml([]))
    found, _ = timed_with(monkeypatch, STEADY, device=device, probes=True)
    assert probed == [threads, threads], "before and after; one core has no way to another"
    around = found.surroundings
    assert isinstance(around, Surroundings)
    assert (around.gpu.power_w if around.gpu else None) == {
        "cpu": None,
        "cuda": 0.0,
        "cuda:1": 1.0,
    }[device]


class Nvml:
    """NVML's library, of which only opening and closing count."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    def nvmlShutdown(self) -> None:  # noqa: N802 - NVML's name
        self.log.append("NVML closed")


def test_gpu_is_read_when_its_calls_end_while_nvml_is_open_and_before_anything_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Opened again after the meter had closed it, NVML told the clocks of an idle GPU."""
    log: list[str] = []

    def opened() -> Nvml:
        log.append("NVML opened")
        return Nvml(log)

    def read(index: int) -> GpuSample:
        log.append(f"GPU {index} read")
        return GpuSample(sm_clock_mhz=len(log))

    def calls(*arguments: object) -> Window:
        log.append("calls")
        return window(STEADY)

    def settled(samples: tuple[int, ...]) -> Steady:
        log.append("statistics")
        return find_steady(samples)

    meter = EnergyMeter(
        lambda: 0.0,
        source="counter",
        scope="GPU",
        resolution_s=1e-3,
        close=lambda: log.append("meter closed"),
    )
    monkeypatch.setattr(gpu, "open_nvml", opened)
    monkeypatch.setattr(gpu, "read_gpu", read)
    monkeypatch.setattr(timed, "_window", calls)
    monkeypatch.setattr(timed, "find_steady", settled)
    monkeypatch.setattr(timed, "open_meter", lambda device: meter)
    job = Job(
        artifact="", runner="r", device="cuda", precision="fp32", batch=1, threads=1, probes=False
    )
    found = time_calls(job, [Call(lambda: None)], [lambda: None], frozenset({0}))
    assert log == [
        "NVML opened",
        "calls",
        "GPU 0 read",
        "statistics",
        "meter closed",
        "NVML closed",
    ]
    reading = found.surroundings.gpu
    assert reading is not None
    assert reading.sm_clock_mhz == 3


def test_a_reading_of_the_gpu_keeps_every_figure_of_the_sample() -> None:
    sample = GpuSample(
        own_bytes=1,
        other_processes=2,
        other_bytes=3,
        sm_clock_mhz=4,
        memory_clock_mhz=5,
        temperature_c=6,
        power_w=7.0,
        throttle_reasons=("idle",),
        graphics_processes=8,
        used_bytes=9,
        pcie_generation=10,
        pcie_width=11,
        ecc=True,
        provenance="simulated",
        missing={"own_bytes": "why"},
    )
    assert timed.gpu_reading(sample).model_dump() == asdict(sample)
