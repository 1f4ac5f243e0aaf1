"""The processes that rest in memory, and the canary among them.

One process at a time is awake: the one that starts, the one that is visited, or the canary. The
canary is read between every two visits, so that each visit lies between two readings. Where it
never moves (a machine of one's own) it is read once a second.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import psutil

from deploybench.children import deadlines
from deploybench.children.resident import Resident, ResidentLostError
from deploybench.documents import now
from deploybench.measure.job import Job
from deploybench.measure.resident_worker import MEMORY, VisitReply, VisitRequest
from deploybench.measure.scheduler import SETUP_LIMIT_S, worker_environment
from deploybench.results.launch import Launch, MemoryPhases
from deploybench.results.visit import CanaryReading, Visit
from deploybench.stacks.stack import interpreter_of
from deploybench.telemetry.canary import environment_of
from deploybench.telemetry.trace import Trace

WORKER = "deploybench.measure.resident_worker"
CANARY = "deploybench.telemetry.canary"
NS_PER_S = 1_000_000_000
LEAST_SLEEP_S = 0.5
APART_WHEN_STILL_S = 1.0
CANARY_LIMIT_S = 60.0
"""A reading takes 15 ms; a machine that is suspended or swaps may take far longer."""


@dataclass(frozen=True)
class VisitTimes:
    """How long the calls of one visit are timed, and how long they may go on at most."""

    duration_s: float
    limit_s: float
    raw: bool = False


@dataclass
class _Process:
    """A process that rests, with what it holds of the memory."""

    resident: Resident
    number: int
    bytes: int = 0


class Residence:
    """The processes of some cells, each by the index of its cell; a context manager.

    ``canary_threads`` is the budget of the canary, ``canary_cpus`` where it is pinned; without a
    budget there is none. Its readings go into ``trace``, which may hold those of residences before
    this one. Raises DeployBenchError where no child can be started.
    """

    def __init__(
        self,
        times: VisitTimes,
        canary_threads: int | None,
        canary_cpus: Sequence[int] = (),
        trace: Trace | None = None,
    ) -> None:
        self._times = times
        self._trace = Trace() if trace is None else trace
        self._stack = ExitStack()
        self._cells: dict[int, list[_Process]] = {}
        """The processes of each cell that live, in the order of their turns."""
        self._canary: Resident | None = None
        self._reading: CanaryReading | None = None
        if canary_threads is not None:
            environment = environment_of(canary_threads)
            canary = Resident(CANARY, environment, canary_cpus)
            self._canary = self._stack.enter_context(canary)

    def __enter__(self) -> Residence:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for processes in self._cells.values():
            for process in processes:
                process.resident.close()
        self._stack.close()

    def start(self, index: int, job: Job, number: int) -> Launch:
        """Start one more process of a cell; a crash or a hang is a launch with its cause.

        Only a process that may be timed stays; its visits bear ``number``.
        """
        processes = self._cells.setdefault(index, [])
        started = now()
        spawned_ns = time.monotonic_ns()
        python = interpreter_of(job.stack)
        resident = Resident(WORKER, worker_environment(job), job.pin, python)
        launch = _launch(resident, job.replaced(spawned_ns=spawned_ns))
        seconds = (time.monotonic_ns() - spawned_ns) / NS_PER_S
        launch = launch.replaced(started=started, seconds=seconds)
        if not launch.measured or launch.refused is not None:
            resident.close()
        else:
            processes.append(_Process(resident, number, _proportional_bytes(resident.number)))
        self._reading = None  # an old one tells nothing of the next visit
        return launch

    def visit(self, index: int, number: int, order: int) -> Visit | None:
        """Visit the process of a cell whose turn it is, in round ``number``.

        None where the machine slept meanwhile (suspend and resume): such a visit tells nothing.
        Raises ResidentLostError when the process has died or its runtime raised: it is then no
        more.
        """
        processes = self._cells[index]
        process = processes.pop(0)
        slept_before_s = slept_s()
        before = self._reading
        if before is None and self._canary_is_due():
            before = self._read_canary()
        began_s = self._trace.since_begin_s(time.monotonic())
        request = VisitRequest(
            duration_ns=round(self._times.duration_s * NS_PER_S),
            limit_ns=round(self._times.limit_s * NS_PER_S),
            raw=self._times.raw,
        )
        try:
            answer = process.resident.ask(
                request.model_dump_json(), SETUP_LIMIT_S + 2 * self._times.limit_s
            )
            reply = VisitReply.model_validate_json(answer)
            if reply.error is not None:
                raise ResidentLostError(reply.error)
        except ResidentLostError:
            process.resident.close()
            self._reading = None
            raise
        processes.append(process)
        self._reading = None
        if self._canary_is_due():
            self._reading = self._read_canary()
        if slept_s() - slept_before_s > LEAST_SLEEP_S:
            self._reading = None
            return None
        return Visit(
            round=number,
            order=order,
            process=process.number,
            at_s=began_s,
            before=before,
            after=self._reading,
            **reply.model_dump(exclude={"error"}),
        )

    def end(self, index: int) -> dict[int, MemoryPhases]:
        """End the processes of a cell; the memory of each by its number, where it still answers."""
        memories = {}
        for process in self._cells.get(index, []):
            with contextlib.suppress(ResidentLostError):
                answer = process.resident.ask(MEMORY, SETUP_LIMIT_S)
                memories[process.number] = MemoryPhases.model_validate_json(answer)
            process.resident.close()
        self._cells[index] = []
        return memories

    def processes_of(self, index: int) -> int:
        """How many processes of the cell rest here."""
        return len(self._cells.get(index, []))

    def restless(self, index: int) -> bool:
        """Whether a process of the cell took CPU time while it should have been at rest."""
        return any(process.resident.restless for process in self._cells.get(index, []))

    def bytes_of(self, index: int) -> int:
        """What the largest process of the cell holds of the memory."""
        return max((process.bytes for process in self._cells.get(index, [])), default=0)

    def _canary_is_due(self) -> bool:
        """Between every two visits; once a second where it never moves, until it does."""
        return not self._trace.still or self._trace.age_s(time.monotonic()) >= APART_WHEN_STILL_S

    def _read_canary(self) -> CanaryReading | None:
        """The canary now; None where there is none, or no longer."""
        if self._canary is None:
            return None
        try:
            answer = self._canary.ask("read", CANARY_LIMIT_S)
        except ResidentLostError:
            self._canary = None
            return None
        reading = CanaryReading.model_validate_json(answer)
        self._trace.add(time.monotonic(), reading)
        return reading


def slept_s() -> float:
    """How long the machine has slept since it was started; 0 where the system does not tell.

    Linux's monotonic clock stands still meanwhile, its boot clock does not.
    """
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()


def _launch(resident: Resident, job: Job) -> Launch:
    limit_s = deadlines.allowed_s(SETUP_LIMIT_S + 2 * job.limit_s)
    try:
        return Launch.model_validate_json(resident.ask(job.model_dump_json(), limit_s))
    except ResidentLostError as lost:
        if deadlines.passed():
            return Launch(error=deadlines.stopped_words(limit_s))
        return Launch(error=str(lost))


def _proportional_bytes(number: int) -> int:
    """What a process holds of the memory; what it shares counts in part."""
    with contextlib.suppress(psutil.Error):
        full = psutil.Process(number).memory_full_info()
        return int(getattr(full, "pss", full.uss))
    return 0
