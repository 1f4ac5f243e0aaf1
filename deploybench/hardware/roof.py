"""The roof: what hardware can do at most, as its profile states it or as it was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploybench.documents import Document
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.host import Host, gpu_of
from deploybench.hardware.profile import HOST, Profile, profile_of


class MeasuredPeaks(Document):
    """What a CPU reached, with the method.

    GFLOP/s by precision (2 FLOP a multiply-add), GB/s of copying (read + write) and of reading.
    """

    threads: int
    gflops: dict[str, float]
    copy_gb_per_s: float
    method: str
    read_gb_per_s: float | None = None
    disturbed: str | None = None

    @property
    def memory_gb_per_s(self) -> float:
        """The faster of the two.

        A copy reads its target's lines, too, so that reading alone may move more.
        """
        return max(self.copy_gb_per_s, self.read_gb_per_s or 0.0)

    def at_least(self, gflops: Mapping[str, float], gb_per_s: float = 0.0) -> MeasuredPeaks:
        """The same where something else reached more: a cell, or another piece of work.

        What was reached is no more than what the hardware can do, so the peak is as high at least.
        A precision without a peak gets none.
        """
        raised = dict(self.gflops)
        for precision, reached in gflops.items():
            if precision in raised:
                raised[precision] = max(raised[precision], reached)
        copy_gb_per_s = self.copy_gb_per_s
        if gb_per_s > self.memory_gb_per_s:
            copy_gb_per_s = gb_per_s
        return self.replaced(gflops=raised, copy_gb_per_s=copy_gb_per_s)


@dataclass(frozen=True)
class Roof:
    """What hardware can do at most.

    FLOP/s by precision (1e12), bytes/s of memory (1e9), bytes of memory and caches.
    """

    name: str
    tflops: Mapping[str, float]
    memory_gb_per_s: float
    memory_bytes: float
    cache_bytes: float


def profile_roof(profile: Profile) -> Roof:
    """The roof that a profile states."""
    peaks = profile.peaks
    return Roof(
        name=profile.name,
        tflops=peaks.tflops,
        memory_gb_per_s=peaks.memory_gb_per_s,
        memory_bytes=peaks.memory_gb * 1e9,
        cache_bytes=peaks.cache_mb * 1e6,
    )


def host_roof(host: Host, peaks: MeasuredPeaks) -> Roof:
    """The roof of this host's CPU as measured on a thread budget."""
    return Roof(
        name=HOST,
        tflops={precision: gflops / 1e3 for precision, gflops in peaks.gflops.items()},
        memory_gb_per_s=peaks.memory_gb_per_s,
        memory_bytes=host.memory_bytes,
        cache_bytes=host.cache_bytes or 0,
    )


def roof_of_device(
    device: str, profile: Profile | None, host: Host, peaks: MeasuredPeaks | None
) -> Roof | None:
    """The roof of a cell on ``device`` (``cpu``, ``cuda``, ``cuda:N``); None where none is known.

    A CPU's is what was measured on it, whatever the profile states of its reference part; a GPU's
    is that of the profile, or of the built-in one that fits the GPU.
    """
    if kind_of(device) == CPU:
        if peaks is None:
            return None
        return host_roof(host, peaks)
    gpu = gpu_of(device, host)
    if profile is None and gpu is not None:
        profile = profile_of(gpu)
    if profile is None or profile.device != kind_of(device):
        return None
    return profile_roof(profile)
