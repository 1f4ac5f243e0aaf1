"""An artifact, and processes at rest, that are made up: for runs in which nothing is measured."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from deploybench.artifacts.artifact import Artifact
from deploybench.children.resident import ResidentLostError
from deploybench.results.launch import Launch, MemoryPhases
from deploybench.results.visit import CanaryReading, Visit
from deploybench.telemetry.trace import Trace
from tests.records import launch

ARTIFACT = cast(
    Artifact,
    SimpleNamespace(
        path=Path("/a"),
        manifest=SimpleNamespace(
            model=SimpleNamespace(parameters=1, macs=1, macs_uncounted=(), tokens=None),
            weights=SimpleNamespace(kind="random", random_share=0.0),
            preprocessing=SimpleNamespace(model_fields_set=set()),
            assumed=(),
            size_bytes=1,
        ),
    ),
)


class MadeUp:
    """Stands for the processes of a block: each visit takes 10 ms of calls, and no time.

    ``deaths`` are the visits (of all, by number) at which the process dies.
    """

    made: ClassVar[list[MadeUp]] = []
    deaths: ClassVar[frozenset[int]] = frozenset()
    unrest: ClassVar[str | None] = None
    clock: ClassVar[float] = 0.0

    def __init__(
        self, times: object, canary_threads: int | None, canary_cpus: object, trace: Trace
    ) -> None:
        self.canary_cpus = canary_cpus
        self.trace = trace
        self.started: list[int] = []
        self.living: dict[int, list[int]] = {}
        self.jobs: dict[int, Any] = {}
        MadeUp.made.append(self)

    def __enter__(self) -> MadeUp:
        return self

    def __exit__(self, *_: object) -> None:
        self.living.clear()

    def start(self, index: int, job: Any, number: int) -> Launch:
        self.started.append(index)
        self.jobs[index] = job
        self.living.setdefault(index, []).append(number)
        MadeUp.clock += 1.0
        return launch([10.0] * 20, seconds=1.0)

    def visit(self, index: int, number: int, order: int) -> Visit:
        MadeUp.clock += 0.2
        count = len(self.trace.readings)
        reading = CanaryReading(compute_us=9000.0, memory_us=4000.0)
        began_s = self.trace.since_begin_s(MadeUp.clock)
        self.trace.add(MadeUp.clock, reading)
        process = self.living[index].pop(0)
        if count in MadeUp.deaths:
            raise ResidentLostError("killed by SIGKILL")
        self.living[index].append(process)
        return Visit(
            round=number,
            order=order,
            process=process,
            at_s=began_s,
            samples_ns=(round(1e7 * random.Random(count).gauss(1, 0.005)),) * 15,
            window_ns=150_000_000,
            cpu_ns=300_000_000,
            before=reading,
            after=reading,
        )

    def end(self, index: int) -> dict[int, MemoryPhases]:
        self.living[index] = []
        return {}

    def processes_of(self, index: int) -> int:
        return len(self.living.get(index, []))

    def restless(self, index: int) -> bool:
        return self.jobs[index].runner == MadeUp.unrest

    def bytes_of(self, index: int) -> int:
        return 0
