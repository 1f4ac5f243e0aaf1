"""A result that another tool measured: what its file tells, and no more.

Nothing of it was checked here: no parity, no canary, no rounds. It is no record, so that nothing
compares, gates or ranks it with records; queries find it in a view of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from deploybench.documents import Document, read_document
from deploybench.provenance import IMPORTED

Tool = Literal["optimum-benchmark", "benchmark_app", "trtexec", "mlperf"]
Figure = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Text = Annotated[str, Field(max_length=5000)]


@dataclass(frozen=True)
class PercentileMs:
    """Percentiles of a latency in ms; None where the file has none, or too few samples for it."""

    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None

    @property
    def in_order(self) -> tuple[float | None, ...]:
        return (self.p50, self.p90, self.p95, self.p99)


class Imported(Document):
    """One result of another tool. None: its file does not tell.

    ``times`` says in the tool's own terms what was timed. Percentiles are computed here by this
    program's rule where ``samples_ms`` has the raw times, else they are as the tool gives them.
    ``told`` keeps what else the file says, in its words.
    """

    kind: Literal["imported"] = "imported"
    schema_version: Literal[1] = 1
    tool: Tool
    tool_version: Text | None = None
    file: Text
    file_sha256: Text
    created: Text = Field(description="when it was measured, or imported where that is not told")
    imported: Text
    model: Text
    device: Text | None = None
    precision: Text | None = None
    batch: int | None = Field(None, ge=1)
    streams: int | None = Field(None, ge=1)
    threads: int | None = Field(None, ge=1)
    host: Text | None = None
    times: Text
    samples_ms: tuple[Figure, ...] = ()
    samples: int | None = Field(None, ge=1)
    p50_ms: Figure | None = None
    p90_ms: Figure | None = None
    p95_ms: Figure | None = None
    p99_ms: Figure | None = None
    mean_ms: Figure | None = None
    throughput_images_per_s: Figure | None = None
    load_s: Figure | None = None
    first_inference_ms: Figure | None = None
    peak_memory_mib: Figure | None = None
    device_memory_mib: Figure | None = None
    energy_j_per_image: Figure | None = None
    tool_says: Text | None = Field(
        None, description="the tool's own judgement, where it has one: LoadGen's VALID or INVALID"
    )
    said: dict[str, Text] = Field(
        default_factory=dict, description="what the user said of it, because the file does not"
    )
    told: dict[str, Text] = Field(default_factory=dict)
    not_told: tuple[Text, ...] = ()

    @classmethod
    def read(cls, content: bytes, origin: str) -> Imported:
        """The document in a JSON text. Raises DeployBenchError."""
        return read_document(
            cls,
            content,
            origin=origin,
            what="an imported result",
            expected="a document of the kind imported, schema version 1",
            action="move it out of the folder",
        )

    @property
    def whose(self) -> str:
        """The tool with its version, where that is told."""
        if self.tool_version is None:
            return self.tool
        return f"{self.tool} {self.tool_version}"


def imported_row(result: Imported) -> dict[str, object]:
    """The result in the fields of the neutral row; what no tool knows stays empty.

    It has no verdict: those are this program's.
    """
    return {
        "model": result.model,
        "runner": result.tool,
        "backend": result.tool,
        "device": result.device,
        "asked_precision": result.precision,
        "precision": result.precision,
        "batch": result.batch,
        "streams": result.streams,
        "asked_threads": result.threads,
        "timing": result.times,
        "provenance": IMPORTED,
        "p50_ms": result.p50_ms,
        "p90_ms": result.p90_ms,
        "p95_ms": result.p95_ms,
        "p99_ms": result.p99_ms,
        "throughput_images_per_s": result.throughput_images_per_s,
        "load_s": result.load_s,
        "first_inference_ms": result.first_inference_ms,
        "peak_memory_mib": result.peak_memory_mib,
        "device_memory_mib": result.device_memory_mib,
        "energy_j_per_image": result.energy_j_per_image,
        "samples": result.samples,
        "host": result.host,
        "reason": _reason(result),
        "tool": result.tool,
        "tool_version": result.tool_version,
        "file": result.file,
        "file_sha256": result.file_sha256,
        "not_told": ", ".join(result.not_told),
    }


def _reason(result: Imported) -> str:
    reason = f"measured by {result.whose}, not by deploybench: nothing of it was checked here"
    if result.tool_says is not None:
        reason += f"; {result.tool} says {result.tool_says}"
    return reason
