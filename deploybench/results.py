"""The record: the JSON document of one cell, declared once; every printer reads it.

A record holds what was asked, what really ran, every raw sample of every launch, the summary and the
verdict that follow from them, and the host. While a run is under way the record of a cell is replaced
whole after each of its launches (``complete`` is false); afterwards it never changes.
"""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from deploybench.artifact import Document
from deploybench.errors import DeployBenchError
from deploybench.host import Host
from deploybench.parity import ParityReport
from deploybench.workspace import write_whole


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
    """What was asked: one artifact x runner x batch x threads x precision on one device."""

    model: str
    weights: str
    weights_identity: str
    image_size: tuple[int, int]
    backend: str
    form: str = Field(description="the artifact's own precision, batch and opset")
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    artifact: str | None
    artifact_key: str | None

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What has to be equal for two records to be of the same cell."""
        return (
            self.model, self.weights_identity, *self.image_size, self.backend, self.form, self.runner, self.device,
            self.precision, self.batch, self.threads,
        )  # fmt: skip

    @property
    def group(self) -> tuple[str | int, ...]:
        """Cells of one group do the same job: the same model, weights and image size."""
        return (self.model, self.weights_identity, *self.image_size)

    def title(self) -> str:
        return f"{self.model} {self.runner} {self.precision} batch {self.batch}"


class Facts(Document):
    """What the loaded session says of itself."""

    precision: str
    threads: int
    provider: str
    device: str
    notes: tuple[str, ...] = ()


class MemoryPhases(Document):
    """Resident bytes of the worker. ``baseline_bytes`` is the interpreter with numpy, before the runtime."""

    baseline_bytes: int
    imported_bytes: int
    loaded_bytes: int
    first_inference_bytes: int
    peak_bytes: int


class Launch(Document):
    """One fresh process. Times are ns of the monotonic clock; samples are raw, in order, after the warm-up."""

    round: int = 0
    order: int = 0
    started: str = ""
    error: str | None = None
    refused: str | None = None
    facts: Facts | None = None
    parity: ParityReport | None = None
    import_s: float | None = None
    load_s: float | None = None
    first_inference_ms: float | None = None
    warmup_ns: tuple[int, ...] = ()
    samples_ns: tuple[int, ...] = ()
    window_ns: int = 0
    window_cpu_ns: int = 0
    memory: MemoryPhases | None = None
    load_1m: float = 0.0

    @property
    def measured(self) -> bool:
        return bool(self.samples_ns)


class Summary(Document):
    """Computed from the launches; never stored without them. ``p50_ms`` is the median of launch medians."""

    p50_ms: float
    p50_low_ms: float | None
    p50_high_ms: float | None
    p50_coverage: float | None
    p90_ms: float | None
    p99_ms: float | None
    samples: int
    launches: int
    throughput_per_s: float = Field(description="images / wall time of the window, median of launches")
    load_s: float
    first_inference_ms: float
    peak_bytes: int = Field(description="peak resident bytes above the baseline, median of launches")
    baseline_bytes: int
    cores_used: float = Field(description="CPU time / wall time within the window")


class Record(Document):
    """One cell, whole."""

    schema_version: Literal[1] = 1
    run: str
    created: str
    complete: bool
    profile: str
    cell: Cell
    parameters: int | None
    macs: int | None
    artifact_bytes: int | None
    peak_gflops: float | None = Field(description="measured peak of the host at the cell's precision, GFLOP/s")
    launches: tuple[Launch, ...]
    summary: Summary | None
    judgement: Judgement
    host: Host
    versions: dict[str, str]
    command: str

    @property
    def gflops(self) -> float | None:
        """Achieved GFLOP/s: 2 x MACs x images / s."""
        if self.summary is None or self.macs is None:
            return None
        return 2 * self.macs * self.summary.throughput_per_s / 1e9

    @property
    def parity(self) -> ParityReport | None:
        return next((launch.parity for launch in self.launches if launch.parity is not None), None)


def write_record(record: Record, folder: Path) -> Path:
    """Write the record whole into ``folder``, named after its cell."""
    cell = record.cell
    key = (cell.artifact_key or "none")[:8]
    name = f"{cell.model}-{cell.runner}-{cell.precision}-b{cell.batch}-t{cell.threads}-{key}"
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
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DeployBenchError(
            f"{path} does not read as a record: {where}: {first['msg']}",
            expected="a record of schema version 1",
            action="move it out of the folder, or run the cell again",
        ) from None
