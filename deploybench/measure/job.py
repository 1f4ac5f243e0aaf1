"""What the parent tells a worker: the cell, and how long to look at it."""

from __future__ import annotations

from deploybench.artifact import Document


class Job(Document):
    """One launch. ``measure`` false stops after parity: that is how an export is verified."""

    artifact: str
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    measure: bool = True
    warmup_s: float = 0.5
    min_warmup_calls: int = 3
    duration_s: float = 2.0
    min_samples: int = 20
    limit_s: float = 60.0
