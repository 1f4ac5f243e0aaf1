"""What disturbed a launch, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.hardware.foreign_work import allowed_foreign_share
from deploybench.results.launch import GpuReading, Launch, Surroundings

BYTES_PER_GIB = 2**30
LARGEST_STEAL_SHARE = 0.03
LARGEST_QUOTA_SHARE = 0.01
"""Threads that just fill their quota are held back for moments at the ends of periods."""
HARMLESS_THROTTLING = frozenset({"idle", "application clocks", "software power cap"})
"""NVML's words for a clock that nobody asks more of, that the owner set, or that is a card's usual
state under load."""


@dataclass(frozen=True)
class Disturbance:
    """What disturbed a launch, and what to do about it, in words.

    ``seen_by_canary``: it slows whatever runs on the machine, so a canary beside the calls tells
    when it did.
    """

    what: str
    advice: str
    seen_by_canary: bool = False


def disturbances(launch: Launch) -> list[Disturbance]:
    """What disturbed the launch; empty when nothing did."""
    disturbing = []
    if launch.unsettled:
        disturbing.append(Disturbance(launch.unsettled, "measure longer: --duration"))
    return disturbing + disturbances_around(launch)


def disturbances_around(launch: Launch) -> list[Disturbance]:
    """What came from outside the process; empty when nothing did."""
    if launch.surroundings is None:
        return []
    disturbing = _cpu_disturbances(launch.surroundings)
    if launch.surroundings.gpu is not None:
        disturbing += _gpu_disturbances(launch.surroundings.gpu)
    return disturbing


def _cpu_disturbances(around: Surroundings) -> list[Disturbance]:
    disturbing = []
    foreign = around.foreign_cpu_share or 0.0
    if foreign > allowed_foreign_share(around.cpus, around.share_resolution):
        what = f"other processes took {foreign:.0%} of the CPUs"
        disturbing.append(
            Disturbance(what, "stop the other work on the machine", seen_by_canary=True)
        )
    stolen = around.steal_share or 0.0
    if stolen > LARGEST_STEAL_SHARE:
        what = f"the hypervisor took {stolen:.0%} of the CPUs"
        advice = "ask for dedicated cores, or measure at another time"
        disturbing.append(Disturbance(what, advice, seen_by_canary=True))
    if around.throttle_events:
        what = "the CPU was throttled because of heat"
        advice = "cool the machine, or wait between launches"
        disturbing.append(Disturbance(what, advice, seen_by_canary=True))
    # How long it waited is not told by every kernel: then that it did has to do.
    waited = around.quota_share is None or around.quota_share > LARGEST_QUOTA_SHARE
    if around.quota_throttled and waited:
        what = f"throttled by the quota of its cgroup {_times(around.quota_throttled)}"
        if around.quota_share is not None:
            what += f", {around.quota_share:.0%} of the CPUs' time"
        advice = "ask for fewer --threads than the quota, or raise it (deploybench doctor shows it)"
        disturbing.append(Disturbance(what, advice))
    return disturbing


def _gpu_disturbances(gpu: GpuReading) -> list[Disturbance]:
    disturbing = []
    if gpu.other_processes:
        what = f"{_processes(gpu.other_processes)} computed on the GPU"
        if gpu.other_bytes:
            what += f" and held {gpu.other_bytes / BYTES_PER_GIB:.1f} GiB of it"
        advice = "stop the other work on the GPU: nvidia-smi lists it"
        disturbing.append(Disturbance(what, advice))
    slowed_by = set(gpu.throttle_reasons or ()) - HARMLESS_THROTTLING
    if slowed_by:
        what = f"the GPU was slowed down: {', '.join(sorted(slowed_by))}"
        disturbing.append(Disturbance(what, "look at its cooling and power"))
    return disturbing


def _times(count: int) -> str:
    if count == 1:
        return "once"
    return f"{count} times"


def _processes(count: int) -> str:
    if count == 1:
        return "another process"
    return f"{count} other processes"
