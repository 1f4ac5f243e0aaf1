"""The cell: what was asked.

One artifact on one runner with one batch size, thread budget and precision.
"""

from __future__ import annotations

from pydantic import Field

from deploybench.documents import Document
from deploybench.hardware.devices import CPU

HOST_TO_HOST, ENGINE_ONLY, END_TO_END = "host-to-host", "engine-only", "end-to-end"
TIMINGS = (HOST_TO_HOST, ENGINE_ONLY, END_TO_END)
"""What a sample times; ``deploybench.measure.calls`` says what is in each."""
DEFAULT_BASELINE = "pytorch"
"""The runner that others are compared with, unless the user names another."""
BASELINE_PRECISION = "fp32"


class Cell(Document):
    """What was asked: one artifact x runner x batch x streams x threads x precision on one device.

    ``threads`` is the budget of all ``streams`` together; ``timing`` says what one sample spans.
    """

    model: str
    weights: str
    weights_identity: str
    image_size: tuple[int, int]
    patch_size: int | None = Field(
        None, description="pixels, of a transformer whose attention sees all tokens"
    )
    backend: str
    form: str = Field(description="the artifact's own precision, batch and opset")
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    streams: int = 1
    timing: str = TIMINGS[0]
    image: str | None = Field(
        None, description="the file that end-to-end calls read: the start of its sha256"
    )
    cuda_graph: bool = Field(
        False, description="every call of the engine is one launch of a captured CUDA graph"
    )
    artifact: str | None
    artifact_key: str | None

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What has to be equal for two records to be of the same cell."""
        return (
            *self.group,
            self.backend,
            self.form,
            self.runner,
            self.device,
            self.precision,
            self.batch,
            self.threads,
            self.streams,
            self.timing,
            self.image or "",
            self.cuda_graph,
        )

    @property
    def key(self) -> tuple[str | int | None, ...]:
        """What tells the cells of one run apart: the artifact itself, where two are of the same
        form."""
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
        return (
            f"{self.model} {self.runner}{device} {self.precision} batch "
            f"{self.batch}{several}{timing}{graph}"
        )
