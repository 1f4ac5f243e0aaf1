"""The launch: one fresh process that measured a cell.

It holds every raw sample, and what the machine did meanwhile.
"""

from __future__ import annotations

from pydantic import Field

from deploybench.artifacts.parity import ParityReport
from deploybench.documents import Document
from deploybench.provenance import Provenance
from deploybench.statistics.counted import BIN_WIDTH, Bins, Counted, counted, of_bins


class Facts(Document):
    """What the loaded session says of itself."""

    precision: str
    threads: int
    provider: str
    device: str
    notes: tuple[str, ...] = ()
    device_bytes: int | None = Field(
        None, description="the most that the runtime's allocator held on the device"
    )
    options: dict[str, bool | int | str] = Field(
        {}, description="the options of the cell that the runtime read back"
    )
    from_cache: bool | None = Field(
        None,
        description="whether all that was compiled was found in a cache on disk; null where "
        "nothing is compiled, or the runtime does not tell",
    )
    provenance: Provenance = "measured"


class MemoryPhases(Document):
    """Memory of the worker after each phase.

    Resident bytes and, where the system tells them, proportional ones (PSS).

    ``baseline_bytes`` is the interpreter with numpy and this harness, before the runtime; it is
    taken off wherever a figure is said to be the runtime's own.
    """

    baseline_bytes: int
    imported_bytes: int
    loaded_bytes: int
    compiled_bytes: int
    first_inference_bytes: int
    setup_peak_bytes: int = Field(
        description="the largest until the calls were timed: loading, compiling, parity"
    )
    peak_bytes: int = Field(
        description="the largest while the calls were timed, without the harness's own samples"
    )
    baseline_pss_bytes: int | None = None
    steady_pss_bytes: int | None = None
    harness_bytes: int | None = Field(
        None, description="what the harness's samples took, and what was taken off for them"
    )


class Probes(Document):
    """The machine's own speed at one moment; see ``telemetry/probes.py``.

    None where a probe cannot run.
    """

    compute_us: float | None = None
    memory_ms: float | None = None
    hop_ns: float | None = None


class GpuReading(Document):
    """The GPU right after a launch was timed on it; see ``telemetry/gpu.py``.

    ``missing`` says why a field is None.
    """

    own_bytes: int | None
    other_processes: int | None
    other_bytes: int | None
    sm_clock_mhz: int | None
    memory_clock_mhz: int | None
    temperature_c: int | None
    power_w: float | None
    throttle_reasons: tuple[str, ...] | None
    missing: dict[str, str]
    graphics_processes: int | None = None
    used_bytes: int | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    ecc: bool | None = None
    provenance: Provenance = "measured"


class Surroundings(Document):
    """What the machine did while a launch was timed.

    Shares are of wall time x cores; None where unreadable.
    """

    before: Probes
    after: Probes
    cpus: int = Field(1, description="CPUs that this process may use: what the shares are of")
    share_resolution: float | None = Field(
        None, description="what the clock of /proc/stat can tell, share of one CPU"
    )
    foreign_cpu_share: float | None = Field(None, description="CPU time of other processes")
    steal_share: float | None = Field(
        None, description="CPU time that the hypervisor gave to others"
    )
    involuntary_switches: int | None = None
    load_1m: float | None = None
    frequency_mhz: float | None = None
    throttle_events: int | None = None
    quota_throttled: int | None = Field(
        None, description="periods in which the quota of a cgroup made the process wait"
    )
    quota_share: float | None = Field(None, description="time that it waited for its quota")
    gpu: GpuReading | None = None

    @property
    def hops(self) -> list[float]:
        """The hop probe before and after, where it ran."""
        return [probes.hop_ns for probes in (self.before, self.after) if probes.hop_ns is not None]


class EnergyReading(Document):
    """Energy used during the timed window; ``joules`` None with the reason in ``source``."""

    joules: float | None
    source: str
    provenance: Provenance = "measured"


class Histogram(Document):
    """Samples counted in bins of equal ratio: see ``statistics/counted.py``. Values are in ns.

    ``bins`` are the numbers of the bins that are not empty.
    """

    relative_width: float = BIN_WIDTH
    bins: tuple[int, ...]
    counts: tuple[int, ...]
    smallest: int
    largest: int

    @property
    def counted(self) -> Counted:
        bins = Bins(self.bins, self.counts, self.smallest, self.largest)
        return of_bins(bins, self.relative_width)


class Launch(Document):
    """One fresh process. Samples are raw, in order, from the first call after parity was shown.

    Of very many samples (``sample_count``) only the first and last few thousand are kept raw, and
    those after the warm-up are counted in ``steady_histogram``; the figures of single samples are
    then those of the raw ones.

    The first ``warm_up`` samples are warm-up; ``unsettled`` says why the rest is no steady state,
    if it is none. Three more figures belong to the samples one by one: ``sample_cpu_ns`` (CPU time
    of all threads of the process) and ``sample_switches`` (involuntary context switches), which are
    empty where several streams ran at once, and ``device_ns`` (what the device took by its own
    clock), which engine-only samples have where the runner can tell.
    """

    round: int = 0
    order: int = 0
    started: str = ""
    seconds: float = Field(0.0, description="wall time of the whole launch, as the parent saw it")
    error: str | None = None
    refused: str | None = None
    facts: Facts | None = None
    parity: ParityReport | None = None
    start_s: float | None = Field(
        None, description="process start until the worker's first line of work"
    )
    import_s: float | None = None
    load_s: float | None = None
    compile_s: float | None = None
    first_inference_ms: float | None = None
    samples_ns: tuple[int, ...] = ()
    sample_cpu_ns: tuple[int, ...] = ()
    sample_switches: tuple[int, ...] = ()
    device_ns: tuple[int, ...] = ()
    sample_count: int | None = Field(
        None, description="samples taken, where not every one of them is kept raw"
    )
    steady_histogram: Histogram | None = None
    device_histogram: Histogram | None = None
    switches: int | None = Field(
        None, description="involuntary switches of all samples, where not all are kept"
    )
    warm_up: int = 0
    unsettled: str | None = None
    window_ns: int = Field(0, description="wall time of the samples after the warm-up")
    window_cpu_ns: int = 0
    threads_ran: int | None = Field(
        None, description="threads that worked in the window: see telemetry/threads.py"
    )
    threads_cpus: tuple[int, ...] | None = Field(
        None, description="the CPUs on which any of these threads may run"
    )
    pinned: tuple[int, ...] | None = Field(
        None, description="the CPUs that the process was kept on; None: it was left to the system"
    )
    memory: MemoryPhases | None = None
    surroundings: Surroundings | None = None
    energy: EnergyReading | None = None

    @property
    def measured(self) -> bool:
        return bool(self.samples_ns)

    @property
    def count(self) -> int:
        """How many samples were taken, the warm-up's too."""
        if self.sample_count is not None:
            return self.sample_count
        return len(self.samples_ns)

    @property
    def steady_count(self) -> int:
        """How many samples are after the warm-up."""
        return self.count - self.warm_up

    @property
    def steady_ns(self) -> Counted:
        """The samples after the warm-up, by value."""
        if self.steady_histogram is not None:
            return self.steady_histogram.counted
        return counted(self.samples_ns[self.warm_up :])

    @property
    def steady_device_ns(self) -> Counted | None:
        """The same by the device's own clock; None where the runner does not tell."""
        if self.device_histogram is not None:
            return self.device_histogram.counted
        if not self.device_ns:
            return None
        return counted(self.device_ns[self.warm_up :])

    @property
    def switches_per_call(self) -> float | None:
        """How often a call was interrupted, on average; None where the system does not tell."""
        if self.switches is not None:
            return self.switches / self.count
        if not self.sample_switches:
            return None
        return sum(self.sample_switches) / len(self.sample_switches)

    @property
    def provenance(self) -> Provenance:
        """``simulated`` when a test double stood in for a library that told any of the figures."""
        readings: list[Facts | GpuReading | EnergyReading | None] = [self.facts, self.energy]
        if self.surroundings is not None:
            readings.append(self.surroundings.gpu)
        for reading in readings:
            if reading is not None and reading.provenance == "simulated":
                return "simulated"
        return "measured"

    @property
    def median_ms(self) -> float:
        return self.steady_ns.median() / 1e6

    @property
    def cold_start_s(self) -> float | None:
        """Process start to the first answer; None where one of its parts is not known.

        The parts are the interpreter, imports, loading, compilation and the first inference.
        """
        total = 0.0
        for seconds in (self.start_s, self.import_s, self.load_s, self.compile_s):
            if seconds is None:
                return None
            total += seconds
        if self.first_inference_ms is None:
            return None
        return total + self.first_inference_ms / 1e3
