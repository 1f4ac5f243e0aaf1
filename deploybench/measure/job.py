"""What the parent tells a worker: the cell, and how long to look at it."""

from __future__ import annotations

from deploybench.documents import Document
from deploybench.results.cell import TIMINGS


class Job(Document):
    """One launch. ``measure`` false stops after parity: that is how an export is verified.

    ``spawned_ns`` is the parent's monotonic clock when it started the process (Linux has one for
    all processes). ``image`` is the file that an end-to-end call reads.
    """

    artifact: str
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    streams: int = 1
    timing: str = TIMINGS[0]
    image: str | None = None
    cuda_graph: bool = False
    measure: bool = True
    probes: bool = True
    spawned_ns: int | None = None
    duration_s: float = 1.0
    min_samples: int = 20
    limit_s: float = 60.0
