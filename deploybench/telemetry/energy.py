"""Energy in joules, from the counters of the CPU (RAPL) or of the GPU (NVML).

No counter knows processes: a CPU's counts its whole package, a GPU's the whole card, whoever works
on it and also while nobody does. ``Energy.scope`` says so in words, to be shown wherever the figure
is.

RAPL (Linux's powercap class, Documentation/power/powercap): a *package* contains its cores and its
built-in graphics, so these sub-domains are not added; *dram* is beside the package and is added
where there is one; *psys* contains all of it and is not read; ``intel-rapl-mmio`` is a second way
to the same package and is read only where the first is not there. The counters wrap (at some
hundred kJ, minutes to an hour under load): a meter has to be read once in that time. They are
updated about every millisecond.

NVML: Volta and later count energy; on older cards the power draw is sampled at 20 Hz and integrated
by the trapezoid rule, in a thread that asks the driver 20 times a second. Both follow the card's
power sensor, which on some cards sees a part of the time only (Yang et al., "Part-time Power
Measurements", 2023): windows of seconds, not of calls.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import Device
from deploybench.hardware.nvml import device_handle, nvml_provenance, open_nvml
from deploybench.provenance import Provenance
from deploybench.telemetry.gpu import MILLIWATTS_PER_W, power_mw

POWERCAP = Path("/sys/class/powercap")
RAPL_INTERFACES = ("intel-rapl", "intel-rapl-mmio")  # AMD's counters appear as intel-rapl, too
POWER_SAMPLES_PER_S = 20
RAPL_RESOLUTION_S = 1e-3
NVML_RESOLUTION_S = 0.1  # the slowest sensors among the cards of Yang et al.
MICROJOULES_PER_J = 1e6
MILLIJOULES_PER_J = 1e3


@dataclass(frozen=True)
class Energy:
    """Joules that ``scope`` used, as told by ``source``.

    ``provenance`` is simulated where a double stands in for the counter.
    """

    joules: float
    source: str
    scope: str
    provenance: Provenance = "measured"


@dataclass(frozen=True)
class Unavailable:
    """Why there is no energy meter, and what would give one."""

    reason: str


class EnergyMeter:
    """A running count of joules.

    ``resolution_s`` is the shortest time in which the count moves: a window has to be many times
    longer. A context manager; reading raises OSError or NVMLError should the source go away.
    """

    def __init__(
        self,
        read_j: Callable[[], float],
        *,
        source: str,
        scope: str,
        resolution_s: float,
        close: Callable[[], None] = lambda: None,
        provenance: Provenance = "measured",
    ) -> None:
        self.read_j = read_j
        self.source = source
        self.scope = scope
        self.resolution_s = resolution_s
        self.close = close
        self.provenance = provenance

    def between(self, before_j: float, after_j: float) -> Energy:
        """What was used between two readings of this meter."""
        return Energy(after_j - before_j, self.source, self.scope, self.provenance)

    def __enter__(self) -> EnergyMeter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_meter(device: str, *, powercap: Path = POWERCAP) -> EnergyMeter | Unavailable:
    """The meter of ``cpu``, ``cuda`` or ``cuda:N``, or why there is none."""
    try:
        named = Device.parse(device)
    except DeployBenchError:
        return Unavailable(f"no energy counter is known for device '{device}'")
    if not named.is_gpu:
        return rapl_meter(powercap)
    try:
        nvml = open_nvml()
    except DeployBenchError as error:
        return Unavailable(str(error))
    meter = nvml_meter(nvml, named.index)
    if isinstance(meter, Unavailable):
        nvml.nvmlShutdown()
    return meter


def rapl_meter(powercap: Path = POWERCAP) -> EnergyMeter | Unavailable:
    """The meter of all packages of this machine and of their memory where that is counted."""
    for interface in RAPL_INTERFACES:
        domains = _domains(powercap, interface)
        if any(name.startswith("package") for name in domains.values()):
            return _rapl_meter_of(powercap, interface, domains)
    return Unavailable(
        f"{powercap} has no RAPL package: virtual machines, containers and other CPUs have none"
    )


def _rapl_meter_of(
    powercap: Path, interface: str, domains: Mapping[Path, str]
) -> EnergyMeter | Unavailable:
    """The meter of the packages and memories among ``domains``, paths and their names."""
    packages = [path for path, name in domains.items() if name.startswith("package")]
    memories = [path for path, name in domains.items() if name == "dram"]
    try:
        counter = RaplCounter([*packages, *memories])
    except PermissionError as error:
        return Unavailable(
            f"{error.filename} is readable by root only (so in Linux since 2020, CVE-2020-8694); "
            f"do: sudo chmod a+r {powercap}/{interface}:*/energy_uj (until the next boot), or run "
            f"as root with sudo"
        )
    except OSError as error:
        return Unavailable(f"{error.filename} does not read: {error.strerror}")
    memory = "without DRAM, which has no counter here"
    if memories:
        memory = "with its DRAM"
    package_names = ", ".join(domains[path] for path in packages)
    return EnergyMeter(
        counter.read_j,
        source=f"RAPL ({interface})",
        scope=f"the whole of {package_names} {memory}, other processes included",
        resolution_s=RAPL_RESOLUTION_S,
    )


class RaplCounter:
    """The sum of some RAPL domains since it was made, in joules, across wrap-arounds of each."""

    def __init__(self, domains: Sequence[Path]) -> None:
        self._ranges_uj = {
            domain: _microjoules(domain / "max_energy_range_uj") for domain in domains
        }
        self._last_uj = {domain: _microjoules(domain / "energy_uj") for domain in domains}
        self._total_uj = 0

    def read_j(self) -> float:
        """Joules since the counter was made."""
        for domain, last_uj in self._last_uj.items():
            present_uj = _microjoules(domain / "energy_uj")
            used_uj = present_uj - last_uj
            if used_uj < 0:  # it wrapped since, once: it begins again at 0 after its range
                used_uj += self._ranges_uj[domain]
            self._total_uj += used_uj
            self._last_uj[domain] = present_uj
        return self._total_uj / MICROJOULES_PER_J


def nvml_meter(nvml: Any, index: int) -> EnergyMeter | Unavailable:
    """The meter of the GPU that this process knows as ``cuda:index``.

    ``nvml`` is an initialised ``pynvml``.
    """
    try:
        handle = device_handle(nvml, index)
    except DeployBenchError as error:
        return Unavailable(str(error))
    scope = f"the whole of GPU {index}, other processes included"

    def counted_j() -> float:
        return float(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / MILLIJOULES_PER_J

    def power_w() -> float:
        return power_mw(nvml, handle) / MILLIWATTS_PER_W

    # A card before Volta refuses the counter: then its power is integrated, if it tells that.
    try:
        counted_j()
    except nvml.NVMLError:
        pass
    else:
        return EnergyMeter(
            counted_j,
            source="NVML energy counter",
            scope=scope,
            resolution_s=NVML_RESOLUTION_S,
            close=nvml.nvmlShutdown,
            provenance=nvml_provenance(),
        )
    try:
        power_w()
    except nvml.NVMLError as error:
        return Unavailable(f"GPU {index} tells neither its energy nor its power: {error}")
    sampler = PowerSampler(power_w, ignored=nvml.NVMLError)

    def close() -> None:
        sampler.stop()
        nvml.nvmlShutdown()

    return EnergyMeter(
        sampler.read_j,
        source=f"NVML power sampled at {POWER_SAMPLES_PER_S} Hz",
        scope=scope,
        resolution_s=NVML_RESOLUTION_S,
        close=close,
        provenance=nvml_provenance(),
    )


class PowerIntegral:
    """The energy below samples of power by the trapezoid rule."""

    def __init__(self) -> None:
        self.joules = 0.0
        self._last: tuple[float, float] | None = None

    def add(self, at_s: float, power_w: float) -> None:
        """Add a sample that is not older than the last."""
        if self._last is not None:
            # between two samples the power is taken to run in a straight line
            last_s, last_w = self._last
            self.joules += (at_s - last_s) * (power_w + last_w) / 2
        self._last = (at_s, power_w)


class PowerSampler:
    """A thread that integrates power.

    A reading takes a sample of its own, so that the integral ends where it is asked for. The thread
    leaves out samples that fail with ``ignored``; a reading does not.
    """

    def __init__(self, power_w: Callable[[], float], *, ignored: type[Exception]) -> None:
        self._power_w = power_w
        self._ignored = ignored
        self._integral = PowerIntegral()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self.read_j()
        self._thread = threading.Thread(target=self._run, name="power-sampler", daemon=True)
        self._thread.start()

    def read_j(self) -> float:
        """Joules since the sampler was made."""
        with self._lock:
            power = self._power_w()
            self._integral.add(perf_counter(), power)
            return self._integral.joules

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(1 / POWER_SAMPLES_PER_S):
            with contextlib.suppress(self._ignored):
                self.read_j()


def _domains(powercap: Path, interface: str) -> dict[Path, str]:
    """The domains of one way to the counters, with their names."""
    return {path: _domain_name(path) for path in sorted(powercap.glob(f"{interface}:*"))}


def _domain_name(domain: Path) -> str:
    """``package-0``, ``dram``, ...; nothing for a link to what a container hides."""
    try:
        return (domain / "name").read_text().strip()
    except OSError:
        return ""


def _microjoules(path: Path) -> int:
    return int(path.read_text())
