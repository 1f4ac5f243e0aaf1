"""One launch's window of samples, with everything that was seen around it.

That is: the probes, other work, energy, the GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deploybench.hardware.devices import CPU, kind_of
from deploybench.measure.calls import Call
from deploybench.measure.compact import keep
from deploybench.measure.concurrent import run_streams
from deploybench.measure.job import Job
from deploybench.measure.loop import Window, run_window
from deploybench.measure.steady import Steady, find_steady
from deploybench.measure.stopping import WindowRule
from deploybench.results.launch import EnergyReading, GpuReading, Histogram, Probes, Surroundings
from deploybench.telemetry.activity import Activity, between, read_activity
from deploybench.telemetry.energy import Unavailable, open_meter
from deploybench.telemetry.gpu import GpuSample, gpu_watch
from deploybench.telemetry.memory import WindowMemory
from deploybench.telemetry.probes import probe_machine
from deploybench.telemetry.threads import ThreadsRan, read_threads, threads_between

NS_PER_S = 1_000_000_000
MOST_WINDOWS = 3
"""A launch that has not settled is timed on, up to three times as long as asked."""

FEWEST_RESOLUTIONS = 10
"""An energy counter that moved fewer times than this within the window tells little."""

Calls = Sequence[Call]
Preparations = Sequence[Callable[[], object]]
Sampled = tuple[Window, Steady]


@dataclass(frozen=True)
class TimedCalls:
    """What sampling the calls of one launch showed.

    Each field is documented at the field of :class:`Launch` that bears its name.
    """

    samples_ns: tuple[int, ...]
    sample_cpu_ns: tuple[int, ...]
    sample_switches: tuple[int, ...]
    device_ns: tuple[int, ...]
    warm_up: int
    unsettled: str | None
    window_ns: int
    window_cpu_ns: int
    surroundings: Surroundings
    energy: EnergyReading
    sample_count: int | None = None
    steady_histogram: Histogram | None = None
    device_histogram: Histogram | None = None
    switches: int | None = None
    threads_ran: int | None = None
    threads_cpus: tuple[int, ...] | None = None


def time_calls(
    job: Job,
    calls: Calls,
    prepare: Preparations,
    cpus: frozenset[int],
    memory: WindowMemory | None = None,
) -> TimedCalls:
    """Sample ``calls`` (one a stream) until they settle, at most three times as long as asked.

    ``memory`` then knows the peak of the calls.
    """
    rule = WindowRule(
        min_samples=job.min_samples,
        duration_ns=int(job.duration_s * NS_PER_S),
        limit_ns=int(job.limit_s * NS_PER_S),
    )
    # From the outside in: the probes lie around the account of other work, that around the energy
    # meter, and nothing but the calls lies inside that.
    probes_before = _probe(job, cpus)
    activity_before = read_activity(cpus)
    threads_before = read_threads()
    with gpu_watch(job.device) as gpu_now:
        watched = _Watched(gpu_now)
        (window, steady), energy = _with_energy(
            job.device, lambda: _sample(calls, prepare, rule, memory, watched)
        )
    threads: ThreadsRan | None = None
    if len(calls) == 1:  # the threads of several streams have ended by now
        threads = threads_between(threads_before, read_threads())
    activity = between(activity_before, read_activity(cpus))
    gpu = None if watched.last is None else gpu_reading(watched.last)
    probes_after = _probe(job, cpus)

    # CPU time is known of the whole window only; the steady part gets its share by wall time.
    window_ns = window.wall_ns(steady.cut)
    window_cpu_ns = round(window.cpu_ns * window_ns / window.wall_ns())
    unsettled = None
    if not steady.settled:
        unsettled = steady.reason
    kept = keep(window, steady.cut, raw=job.raw)
    return TimedCalls(
        samples_ns=kept.samples_ns,
        sample_cpu_ns=kept.sample_cpu_ns,
        sample_switches=kept.sample_switches,
        device_ns=kept.device_ns,
        sample_count=kept.sample_count,
        steady_histogram=kept.steady_histogram,
        device_histogram=kept.device_histogram,
        switches=kept.switches,
        warm_up=steady.cut,
        unsettled=unsettled,
        window_ns=window_ns,
        window_cpu_ns=window_cpu_ns,
        surroundings=_surroundings(probes_before, probes_after, activity, len(cpus), gpu),
        energy=energy,
        threads_ran=None if threads is None else threads.count,
        threads_cpus=None if threads is None else tuple(sorted(threads.cpus)),
    )


class _Watched:
    """The GPU as it was when the last window of calls ended: nothing lies between, not even the
    statistics of the window, because its clocks fall when it idles."""

    def __init__(self, now: Callable[[], GpuSample | None]) -> None:
        self._now = now
        self.last: GpuSample | None = None

    def look(self) -> None:
        self.last = self._now()


def _sample(
    calls: Calls,
    prepare: Preparations,
    rule: WindowRule,
    memory: WindowMemory | None,
    watched: _Watched,
) -> Sampled:
    """One window, and further ones after it while the samples have not settled and time is left."""
    window = _window(calls, prepare, rule, memory)
    watched.look()
    steady = find_steady(window.samples_ns)
    for _ in range(MOST_WINDOWS - 1):
        left_ns = rule.limit_ns - window.wall_ns()
        if steady.settled or left_ns <= 0:
            break
        shorter = replace(rule, limit_ns=left_ns)
        window = window.followed_by(_window(calls, prepare, shorter, memory))
        watched.look()
        steady = find_steady(window.samples_ns)
    return window, steady


def _window(
    calls: Calls, prepare: Preparations, rule: WindowRule, memory: WindowMemory | None
) -> Window:
    if len(calls) == 1:
        return run_window(calls[0].run, rule, calls[0].device_ms, memory)
    return run_streams([call.run for call in calls], prepare, rule, memory)


def _with_energy(device: str, work: Callable[[], Sampled]) -> tuple[Sampled, EnergyReading]:
    """What ``work`` sampled, and the energy that the device used meanwhile."""
    meter = open_meter(device)
    if isinstance(meter, Unavailable):
        return work(), EnergyReading(joules=None, source=meter.reason)
    with meter:
        before_j = meter.read_j()
        window, steady = work()
        used = meter.between(before_j, meter.read_j())
    # A counter that moved a few times only is off by up to one of its steps at either end.
    if window.wall_ns() < FEWEST_RESOLUTIONS * meter.resolution_s * NS_PER_S:
        reason = (
            f"the window is under {FEWEST_RESOLUTIONS} x {meter.resolution_s:g} s, the "
            f"resolution of {used.source}"
        )
        return (window, steady), EnergyReading(joules=None, source=reason)
    reading = EnergyReading(
        joules=used.joules, source=f"{used.source}: {used.scope}", provenance=used.provenance
    )
    return (window, steady), reading


def _probe(job: Job, cpus: frozenset[int]) -> Probes:
    """The probes, without the hop on a GPU: what lies between two cores makes no state there."""
    if not job.probes:
        return Probes()
    threads = 1  # a budget of one core has no hop
    if kind_of(job.device) == CPU:
        threads = job.threads
    return Probes.model_validate(probe_machine(threads, cpus))


def gpu_reading(sample: GpuSample) -> GpuReading:
    """What NVML told at one moment, as the record holds it."""
    return GpuReading(
        own_bytes=sample.own_bytes,
        other_processes=sample.other_processes,
        other_bytes=sample.other_bytes,
        sm_clock_mhz=sample.sm_clock_mhz,
        memory_clock_mhz=sample.memory_clock_mhz,
        temperature_c=sample.temperature_c,
        power_w=sample.power_w,
        throttle_reasons=sample.throttle_reasons,
        missing=dict(sample.missing),
        graphics_processes=sample.graphics_processes,
        used_bytes=sample.used_bytes,
        pcie_generation=sample.pcie_generation,
        pcie_width=sample.pcie_width,
        ecc=sample.ecc,
        provenance=sample.provenance,
    )


def _surroundings(
    before: Probes, after: Probes, activity: Activity, cpus: int, gpu: GpuReading | None
) -> Surroundings:
    return Surroundings(
        before=before,
        after=after,
        cpus=cpus,
        share_resolution=activity.share_resolution,
        foreign_cpu_share=activity.foreign_cpu_share,
        steal_share=activity.steal_share,
        involuntary_switches=activity.involuntary_switches,
        load_1m=activity.load_1m,
        frequency_mhz=activity.frequency_mhz,
        throttle_events=activity.throttle_events,
        quota_throttled=activity.quota_throttled,
        quota_share=activity.quota_share,
        gpu=gpu,
    )
