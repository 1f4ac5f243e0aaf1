"""What the parent tells a worker: the cell, and how long to look at it."""

from __future__ import annotations

from dataclasses import fields

from deploybench.artifacts.acceptance import Evidence
from deploybench.contracts import RunOptions
from deploybench.results.cell import TIMINGS, CellOptions


class Job(CellOptions):
    """One launch of a cell, with the cell's options.

    ``measure`` false stops after parity: that is how an export is verified.

    ``spawned_ns`` is the parent's monotonic clock when it started the process (Linux has one for
    all processes). ``image`` is the file that an end-to-end call reads. ``raw`` keeps every sample,
    however many there are. ``pin`` are the CPUs that the process is started on; none: any.
    ``evidence`` is the accuracy that may take the place of parity.
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
    measure: bool = True
    probes: bool = True
    spawned_ns: int | None = None
    duration_s: float = 1.0
    min_samples: int = 20
    limit_s: float = 60.0
    raw: bool = False
    pin: tuple[int, ...] = ()
    evidence: Evidence | None = None

    @property
    def run_options(self) -> RunOptions:
        """What the runner is asked for: each of its fields is a field of the job."""
        options = {field.name: getattr(self, field.name) for field in fields(RunOptions)}
        return RunOptions(**options)
