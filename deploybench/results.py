"""The record: the JSON document of one cell, declared once; every printer reads it.

A record holds what was asked, what really ran, every raw sample of every launch, the summary and the
verdict that follow from them, and the host. While a run is under way the record of a cell is replaced
whole after each of its launches (``complete`` is false); afterwards it never changes.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Literal

from pydantic import Field

from deploybench.artifacts.parity import ParityReport
from deploybench.contracts import TIMINGS
from deploybench.documents import Document, read_document
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import Host
from deploybench.provenance import Provenance
from deploybench.roofline import Bound
from deploybench.statistics.samples import median

DEFAULT_BASELINE = "pytorch"
"""The runner that others are compared with, unless the user names another."""
BASELINE_PRECISION = "fp32"


class Verdict(str, Enum):
    """How far a number can be trusted. The closed set; ``verdicts.py`` says when each is given."""

    VALID = "VALID"
    NOISY = "NOISY"
    UNSTABLE = "UNSTABLE"
    DRIFTING = "DRIFTING"
    INVALID = "INVALID"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


class Judgement(Document):
    """A verdict with its reason and what the user can do."""

    verdict: Verdict
    reason: str
    advice: str = ""


class Cell(Document):
    """What was asked: one artifact x runner x batch x streams x threads x precision on one device.

    ``threads`` is the budget of all ``streams`` together; ``timing`` says what one sample spans.
    """

    model: str
    weights: str
    weights_identity: str
    image_size: tuple[int, int]
    patch_size: int | None = Field(None, description="pixels, of a transformer whose attention sees all tokens")
    backend: str
    form: str = Field(description="the artifact's own precision, batch and opset")
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    streams: int = 1
    timing: str = TIMINGS[0]
    image: str | None = Field(None, description="the file that end-to-end calls read: the start of its sha256")
    cuda_graph: bool = Field(False, description="every call of the engine is one launch of a captured CUDA graph")
    artifact: str | None
    artifact_key: str | None

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What has to be equal for two records to be of the same cell."""
        return (
            *self.group, self.backend, self.form, self.runner, self.device, self.precision, self.batch, self.threads,
            self.streams, self.timing, self.image or "", self.cuda_graph,
        )  # fmt: skip

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What tells the cells of one run apart: the artifact itself, where two are of the same form."""
        return (self.artifact, *self.identity)

    @property
    def group(self) -> tuple[str | int, ...]:
        """Cells of one group do the same job: the same model, weights, image and patch size."""
        return (self.model, self.weights_identity, *self.image_size, self.patch_size or 0)

    def same_job(self, other: Cell) -> bool:
        """Whether both do the same work with the same means, on whatever runner."""
        return self.group == other.group and self.same_means(other)

    def same_means(self, other: Cell) -> bool:
        """Whether both have the same device and threads, and are timed alike."""
        means = ("device", "batch", "threads", "streams", "timing")
        return all(getattr(self, name) == getattr(other, name) for name in means)

    def title(self) -> str:
        several = f" x {self.streams} streams" if self.streams > 1 else ""
        timing = f" {self.timing}" if self.timing != TIMINGS[0] else ""
        device = f" on {self.device}" if self.device != CPU else ""
        graph = " CUDA graph" if self.cuda_graph else ""
        return f"{self.model} {self.runner}{device} {self.precision} batch {self.batch}{several}{timing}{graph}"


class Facts(Document):
    """What the loaded session says of itself."""

    precision: str
    threads: int
    provider: str
    device: str
    notes: tuple[str, ...] = ()
    device_bytes: int | None = Field(None, description="the most that the runtime's allocator held on the device")
    provenance: Provenance = "measured"


class MemoryPhases(Document):
    """Memory of the worker after each phase: resident bytes and, where the system tells, proportional ones (PSS).

    ``baseline_bytes`` is the interpreter with numpy and this harness, before the runtime; it is taken off
    wherever a figure is said to be the runtime's own.
    """

    baseline_bytes: int
    imported_bytes: int
    loaded_bytes: int
    compiled_bytes: int
    first_inference_bytes: int
    setup_peak_bytes: int = Field(description="the largest until the calls were timed: loading, compiling, parity")
    peak_bytes: int = Field(description="the largest while the calls were timed")
    baseline_pss_bytes: int | None = None
    steady_pss_bytes: int | None = None


class Probes(Document):
    """The machine's own speed at one moment; see ``measure/probes.py``. None where a probe cannot run."""

    compute_us: float | None = None
    memory_ms: float | None = None
    hop_ns: float | None = None


class GpuReading(Document):
    """The GPU right after a launch was timed on it; ``missing`` says why a field is None. See ``measure/gpu.py``."""

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
    """What the machine did while a launch was timed. Shares are of wall time x cores; None where unreadable."""

    before: Probes
    after: Probes
    cpus: int = Field(1, description="CPUs that this process may use: what the shares are of")
    share_resolution: float | None = Field(None, description="what the clock of /proc/stat can tell, share of one CPU")
    foreign_cpu_share: float | None = Field(None, description="CPU time of other processes")
    steal_share: float | None = Field(None, description="CPU time that the hypervisor gave to others")
    involuntary_switches: int | None = None
    load_1m: float | None = None
    frequency_mhz: float | None = None
    throttle_events: int | None = None
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


class Launch(Document):
    """One fresh process. Samples are raw, in order, from the first call after parity was shown.

    The first ``warm_up`` samples are warm-up; ``unsettled`` says why the rest is no steady state, if it is none.
    ``sample_cpu_ns`` (CPU time of all threads of the process) and ``sample_switches`` (involuntary context
    switches) belong to the samples one by one; they are empty where several streams ran at once. So does
    ``device_ns``, what the device took by its own clock: in engine-only samples, where the runner can tell.
    """

    round: int = 0
    order: int = 0
    started: str = ""
    seconds: float = Field(0.0, description="wall time of the whole launch, as the parent saw it")
    error: str | None = None
    refused: str | None = None
    facts: Facts | None = None
    parity: ParityReport | None = None
    start_s: float | None = Field(None, description="process start until the worker's first line of work")
    import_s: float | None = None
    load_s: float | None = None
    compile_s: float | None = None
    first_inference_ms: float | None = None
    samples_ns: tuple[int, ...] = ()
    sample_cpu_ns: tuple[int, ...] = ()
    sample_switches: tuple[int, ...] = ()
    device_ns: tuple[int, ...] = ()
    warm_up: int = 0
    unsettled: str | None = None
    window_ns: int = Field(0, description="wall time of the samples after the warm-up")
    window_cpu_ns: int = 0
    memory: MemoryPhases | None = None
    surroundings: Surroundings | None = None
    energy: EnergyReading | None = None

    @property
    def measured(self) -> bool:
        return bool(self.samples_ns)

    @property
    def steady_ns(self) -> tuple[int, ...]:
        """The samples after the warm-up."""
        return self.samples_ns[self.warm_up :]

    @property
    def provenance(self) -> Provenance:
        """``simulated`` when a double stood in for a library that anything in this launch was told by."""
        readings = (self.facts, self.surroundings.gpu if self.surroundings else None, self.energy)
        return "simulated" if any(one is not None and one.provenance == "simulated" for one in readings) else "measured"

    @property
    def median_ms(self) -> float:
        return median(self.steady_ns) / 1e6

    @property
    def cold_start_s(self) -> float | None:
        """Process start to the first answer: interpreter, imports, load, compilation, first inference."""
        phases = (self.start_s, self.import_s, self.load_s, self.compile_s, self.first_inference_ms)
        if any(phase is None for phase in phases):
            return None
        *seconds, first_ms = (phase or 0.0 for phase in phases)
        return sum(seconds) + first_ms / 1e3


class Percentile(Document):
    """A percentile of the steady samples; the value and its interval are None under ``needed`` samples."""

    fraction: float
    ms: float | None
    low_ms: float | None
    high_ms: float | None
    samples: int
    needed: int


class StateSummary(Document):
    """The estimate of a cell in one state of the machine: ``p50_ms`` is the median of launch medians.

    ``hop_ns`` names the state where the hop probe tells one, else None. ``left_out`` launches of the state were
    disturbed and do not count, because enough others were not.
    """

    hop_ns: float | None
    launches: int
    left_out: int
    p50_ms: float
    p50_low_ms: float | None
    p50_high_ms: float | None
    p50_coverage: float | None
    percentiles: tuple[Percentile, ...]
    samples: int
    throughput_per_s: float = Field(description="images / wall time of the window, median of launches")
    cores_used: float = Field(description="CPU time / wall time within the window")
    energy_j: float | None = Field(description="energy of one image")
    device_p50_ms: float | None = Field(None, description="time of a call by the device's clock, median of launches")
    judgement: Judgement


class Summary(Document):
    """Computed from the launches; never stored without them. One estimate for each state of the machine, the
    one seen most first: estimates of several states are never pooled into one number."""

    states: tuple[StateSummary, ...]
    launches: int
    flipped: int = Field(description="launches during which the state of the machine changed")
    load_s: float
    compile_s: float
    first_inference_ms: float
    cold_start_s: float | None
    peak_bytes: int = Field(description="the largest resident bytes above the baseline, median of launches")
    baseline_bytes: int
    device_bytes: int | None
    energy_source: str


class Record(Document):
    """One cell, whole."""

    schema_version: Literal[2] = 2
    run: str
    created: str
    complete: bool
    profile: str
    cell: Cell
    parameters: int | None
    macs: int | None
    tokens: int | None = Field(None, description="that the model's attention sees, where there is one such number")
    artifact_bytes: int | None
    peak_gflops: float | None = Field(
        description="peak at the cell's precision, GFLOP/s: of a CPU as measured, of a GPU as its profile says"
    )
    bound: Bound | None = Field(None, description="the least time of one call, computed: see roofline.py")
    baseline: str = Field(DEFAULT_BASELINE, description="the runner that the run compared others with")
    launches: tuple[Launch, ...]
    summary: Summary | None
    judgement: Judgement
    stopped: str | None = Field(None, description="why the cell was launched no more; None: the run was interrupted")
    more_rounds: int | None = Field(None, description="rounds that the precision asked for would have taken further")
    host: Host
    versions: dict[str, str]
    command: str

    @property
    def provenance(self) -> Provenance:
        """``simulated`` when a double stood in for a library of the device anywhere: no number of it is a device's."""
        doubled = any(gpu.provenance == "simulated" for gpu in self.host.gpus)
        return "simulated" if doubled or any(one.provenance == "simulated" for one in self.launches) else "measured"

    @property
    def parity(self) -> ParityReport | None:
        return next((launch.parity for launch in self.launches if launch.parity is not None), None)


def write_record(record: Record, folder: Path) -> Path:
    """Write the record whole into ``folder``, named after its cell."""
    cell = record.cell
    key = (cell.artifact_key or "none")[:8]
    size = f"b{cell.batch}-t{cell.threads}-s{cell.streams}"
    runner = cell.runner if cell.device == CPU else f"{cell.runner}-{cell.device}"
    launched = "-graph" if cell.cuda_graph else ""
    name = f"{cell.model}-{runner}-{cell.precision}-{size}-{cell.timing}{launched}-{key}"
    path = folder / f"{name.replace(':', '-').replace('/', '-')}.json"
    write_whole(path, record.model_dump_json(indent=1))
    return path


def read_records(path: Path) -> list[Record]:
    """The records below a folder, or the one in a file. Raises DeployBenchError for a file that does not read."""
    if not path.exists():
        raise DeployBenchError(
            f"there are no records at {path}", expected="a record, or a folder of records", action="deploybench run"
        )
    paths = sorted(item for item in path.rglob("*.json") if not item.name.startswith(".")) if path.is_dir() else [path]
    records = [_read(item) for item in paths if "artifacts" not in item.relative_to(path).parts]
    if not records:
        raise DeployBenchError(f"{path} holds no records", action="deploybench run writes some")
    return records


def runs_in(folder: Path) -> list[Path]:
    """The runs of a workspace, oldest first: one folder each, named by time."""
    return sorted(item for item in folder.glob("*") if item.is_dir() and any(item.glob("*.json")))


def _read(path: Path) -> Record:
    return read_document(
        Record,
        path.read_bytes(),
        origin=str(path),
        what="a record",
        expected="a record of schema version 2 (this version of deploybench writes it)",
        action="move it out of the folder, or run the cell again",
    )
