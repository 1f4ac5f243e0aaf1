"""What disturbed a launch, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.hardware.foreign_work import allowed_foreign_share
from deploybench.results.launch import GpuReading, Launch

LARGEST_STEAL_SHARE = 0.03
HARMLESS_THROTTLING = frozenset({"idle", "application clocks", "software power cap"})
"""NVML's words for a clock that nobody asks more of, that the owner set, or that is a card's usual
state under load."""


@dataclass(frozen=True)
class Disturbance:
    """What disturbed a launch, and what to do about it, in words."""

    what: str
    advice: str


def disturbances(launch: Launch) -> list[Disturbance]:
    """What disturbed the launch; empty when nothing did."""
    found = (
        [Disturbance(launch.unsettled, "measure longer: --duration")] if launch.unsettled else []
    )
    around = launch.surroundings
    if around is None:
        return found
    allowed = allowed_foreign_share(around.cpus, around.share_resolution)
    if around.foreign_cpu_share is not None and around.foreign_cpu_share > allowed:
        words = f"other processes took {around.foreign_cpu_share:.0%} of the CPUs"
        found.append(Disturbance(words, "stop the other work on the machine"))
    if (around.steal_share or 0) > LARGEST_STEAL_SHARE:
        words = f"the hypervisor took {around.steal_share:.0%} of the CPUs"
        found.append(Disturbance(words, "ask for dedicated cores, or measure at another time"))
    if around.throttle_events:
        found.append(
            Disturbance(
                "the CPU was throttled because of heat",
                "cool the machine, or wait between launches",
            )
        )
    return found + (_gpu_disturbances(around.gpu) if around.gpu else [])


def _gpu_disturbances(gpu: GpuReading) -> list[Disturbance]:
    slowed = sorted(set(gpu.throttle_reasons or ()) - HARMLESS_THROTTLING)
    found = []
    if gpu.other_processes:
        others = (
            "another process"
            if gpu.other_processes == 1
            else f"{gpu.other_processes} other processes"
        )
        holding = f" and held {gpu.other_bytes / 2**30:.1f} GiB of it" if gpu.other_bytes else ""
        words = f"{others} computed on the GPU{holding}"
        found.append(Disturbance(words, "stop the other work on the GPU: nvidia-smi lists it"))
    if slowed:
        found.append(
            Disturbance(
                f"the GPU was slowed down: {', '.join(slowed)}", "look at its cooling and power"
            )
        )
    return found
