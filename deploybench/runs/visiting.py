"""A run by visits: the processes of the cells are started, rest, and are visited in rounds.

Where memory is short the cells are measured in blocks: those of one job together, the baseline in
each of them. What cannot be measured in this way here (a process that does not rest, a single one
that fits into memory) is left to fresh launches.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic

from deploybench.analysis.lost_launches import without_lost
from deploybench.analysis.visit_progress import VisitWidths, widths
from deploybench.children import deadlines
from deploybench.children.resident import ResidentLostError
from deploybench.hardware.devices import CPU, kind_of
from deploybench.measure.job import Job
from deploybench.measure.residence import Residence, VisitTimes
from deploybench.measure.steady import FEWEST_SAMPLES
from deploybench.measure.stopping import Ending
from deploybench.measure.visit_plan import CellState, VisitPlan, VisitRule
from deploybench.plan.cells import Planned
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.results.visit import CanaryBest, Visit, middle_of
from deploybench.runs.events import CellLook, LaunchStarted, RunEvent, SpeedRemarked, VisitLost
from deploybench.runs.experiment import Stopped, is_baseline, partners_of
from deploybench.runs.looks import delivered_now, visits_made
from deploybench.runs.records import kept, record_of
from deploybench.runs.settings import RunContext, RunSettings
from deploybench.telemetry.canary_memory import best_of, remember, remembered, remembered_words
from deploybench.telemetry.free_memory import available_bytes
from deploybench.telemetry.trace import Trace

SETTLING_S = 0.3
"""The window of calls that a process's launch shows, before its first visit."""
LOOK_EVERY_S = 2.0
"""How often the intervals are computed, and the user is told."""
WRITE_EVERY_S = 30.0
"""How often the records are written while the visits go on: it takes time from them."""
LEAST_SHARE_OF_VISITS = 0.5
"""Of the budget: on a slow disk the starts alone may take all of it."""
RESERVE_BYTES = 512 << 20
RUNTIME_BYTES = 400 << 20
TIMES_ARTIFACT = 3
"""What a process may need before one has been seen: its runtime, and its weights in some copies."""
DEFAULT_HALF_WIDTH = 0.01
STARTING_SHARE = 0.6
"""Of the time until a deadline, for starts: a later process would not be visited before it."""
SIDE_BY_SIDE = 2
"""So many start in any case: one by itself can be compared with nothing."""

Tell = Callable[[RunEvent], None]


@dataclass
class _Cell:
    """A cell and what its processes showed so far.

    ``widths`` is None until it was looked at. Of the first ``settled`` visits it is known what the
    canary says of their seconds.
    """

    planned: Planned
    job: Job
    partners: list[int]
    launches: list[Launch] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    settled: int = 0
    widths: VisitWidths | None = None
    stopped: Stopped | None = None

    @property
    def failed(self) -> bool:
        """Whether what went wrong is more than one lost process."""
        return any(not launch.measured for launch in without_lost(self.launches))


@dataclass
class _Block:
    """Cells whose processes rest in memory together. ``began`` is on the monotonic clock."""

    residence: Residence
    cells: list[int] = field(default_factory=list)
    began: float = field(default_factory=lambda: monotonic())


class Visiting:
    """The visits of a run; :meth:`records` makes them. ``jobs`` are those of fresh launches.

    Afterwards ``afresh`` says of each cell that could not be measured in this way why, by index.
    """

    def __init__(
        self,
        planned: Sequence[Planned],
        jobs: Sequence[Job],
        settings: RunSettings,
        context: RunContext,
        tell: Tell,
    ) -> None:
        self.afresh: dict[int, str] = {}
        self._settings = settings
        self._context = context
        self._tell = tell
        cells = [cell.cell for cell in planned]
        self._cells: list[_Cell] = []
        for index, (cell, job) in enumerate(zip(planned, jobs, strict=True)):
            settling = job.replaced(duration_s=SETTLING_S, min_samples=FEWEST_SAMPLES, probes=False)
            partners = partners_of(index, cells, settings.baseline)
            self._cells.append(_Cell(cell, settling, partners))
        self._times = VisitTimes(settings.visit_s, jobs[0].limit_s, settings.raw)
        on_cpu = any(kind_of(cell.device) == CPU for cell in cells)
        self._canary_threads = context.threads if settings.canary and on_cpu else None
        self._canary_cpus = settings.pinning.cpus_for(CPU)
        # What is remembered is of the best CPUs for the budget: of others it says nothing.
        self._comparable = not settings.pinning.chosen
        self._remembered: CanaryBest | None = None
        if self._canary_threads is not None and self._comparable:
            self._remembered = remembered(context.host, self._canary_threads)
        self._canary: CanaryBest | None = self._remembered
        self._trace = Trace()
        self._starting_ends = math.inf
        self._round = 0

    def records(self) -> Iterator[Record]:
        """Measure; the records as they change, the last of each cell is complete.

        Raises DeployBenchError when a record cannot be kept; it is yielded first.
        """
        groups: dict[object, list[int]] = defaultdict(list)
        for index, cell in enumerate(self._cells):
            groups[cell.planned.cell.group].append(index)
        # The baseline first: where memory ends within a group, it is in every block.
        waiting = [sorted(group, key=self._is_no_baseline) for group in groups.values()]
        block: _Block | None = None
        try:
            while waiting and not deadlines.passed():
                residence = Residence(
                    self._times, self._canary_threads, self._canary_cpus, self._trace
                )
                with residence:
                    block = _Block(residence)
                    yield from self._start_block(block, waiting)
                    plan = self._plan(block)
                    yield from self._visit_block(block, plan)
                    self._end_block(block, plan)
                for index in block.cells:
                    yield from self._kept(index)
        except KeyboardInterrupt:
            # What was seen since the records were last written is not lost.
            if block is not None:
                for index in block.cells:
                    yield from self._kept(index)
            raise
        finally:
            self._remember()

    def _start_block(self, block: _Block, waiting: list[list[int]]) -> Iterator[Record]:
        """Start one process of each cell, job by job, while they fit into memory.

        What was not started stays in ``waiting``.
        """
        self._starting_ends = monotonic() + STARTING_SHARE * deadlines.left_s()
        while waiting:
            group = waiting[0]
            needed = sum(self._expected_bytes(block, index) for index in group)
            if block.cells and needed > _room():
                return
            started: list[int] = []
            late = False
            for index in group:
                late = monotonic() > self._starting_ends and len(started) >= SIDE_BY_SIDE
                if late or (started and self._expected_bytes(block, index) > _room()):
                    break
                yield from self._start(block, index)
                started.append(index)
            rest = group[len(started) :]
            if late:
                block.cells += started
                return waiting.clear()  # they have no record: nothing is known of them
            if rest and len(started) == 1:
                # Visits need two processes that rest side by side.
                block.residence.end(started[0])
                self.afresh.update(dict.fromkeys(group, "memory for one process only"))
                waiting.pop(0)
                continue
            block.cells += started
            if rest:
                baselines = [index for index in started if not self._is_no_baseline(index)]
                waiting[0] = [*baselines, *rest]
                return
            waiting.pop(0)

    def _visit_block(self, block: _Block, plan: VisitPlan) -> Iterator[Record]:
        """Visit the cells of a block in rounds, until they are known or their time is spent."""
        looked = written = monotonic()
        # Where starting took most of the time, the visits still get their part.
        least_s = LEAST_SHARE_OF_VISITS * plan.rule.budget_s
        ends = max(block.began + plan.rule.budget_s, looked + least_s)
        ends = min(ends, looked + deadlines.left_s())
        first = self._round
        while not self._all_known(block, plan, self._round - first):
            number = self._round - first
            another = plan.another_process(number)
            in_time = monotonic() <= self._starting_ends
            if another is not None and in_time and self._expected_bytes(block, another) < _room():
                began = monotonic()
                yield from self._start(block, another)
                plan.spent_on_starts_s += monotonic() - began
            self._tell_plan(plan, block)
            order = plan.round(number)
            if not order or monotonic() >= ends:
                return
            for position, index in enumerate(order):
                yield from self._visit(block, index, position)
            self._round += 1
            if monotonic() - looked >= LOOK_EVERY_S:
                self._look(block, plan)
                looked = monotonic()
            if monotonic() - written >= WRITE_EVERY_S:
                for index in block.cells:
                    yield from self._kept(index)
                written = monotonic()

    def _all_known(self, block: _Block, plan: VisitPlan, number: int) -> bool:
        """Whether nothing is left to do before round ``number``, with what was seen until now."""
        if not plan.done(number):
            return False
        self._look(block, plan)
        self._tell_plan(plan, block)
        return plan.done(number)

    def _plan(self, block: _Block) -> VisitPlan:
        states = {}
        for index in block.cells:
            cell = self._cells[index]
            partners = [partner for partner in cell.partners if partner in block.cells]
            states[index] = CellState(group=cell.planned.cell.group, partners=partners)
        rule = VisitRule(
            half_width=self._settings.rule.half_width or DEFAULT_HALF_WIDTH,
            budget_s=self._settings.rule.budget_s * len(block.cells),
        )
        return VisitPlan(rule, states, self._settings.seed)

    def _tell_plan(self, plan: VisitPlan, block: _Block) -> None:
        """Tell the plan what is known of each cell now."""
        for index, state in plan.cells.items():
            cell = self._cells[index]
            state.ended = cell.failed or block.residence.processes_of(index) == 0
            state.processes = block.residence.processes_of(index)
            state.start_s = max(launch.seconds for launch in cell.launches)
            if cell.widths is not None:
                state.known = cell.widths.narrow(plan.rule.half_width)
                state.process_shift = cell.widths.process_shift
                state.process_error = cell.widths.process_error

    def _look(self, block: _Block, plan: VisitPlan) -> None:
        """Compute how far each cell is, and tell the user."""
        self._canary = self._best_canary()
        for index in block.cells:
            self._look_around(self._cells[index])
        spent_s = monotonic() - block.began
        looks = []
        for index in block.cells:
            cell = self._cells[index]
            cell.widths = widths(cell.visits, self._canary_of(cell), self._baseline_visits(cell))
            processes = block.residence.processes_of(index)
            ended = cell.failed or processes == 0
            looks.append(CellLook(cell.planned, cell.widths, len(cell.visits), processes, ended))
        now = delivered_now(self._trace, self._canary)
        self._tell(visits_made(self._round, looks, plan.rule, spent_s, now))

    def _baseline_visits(self, cell: _Cell) -> Sequence[Visit] | None:
        """The visits of what the cell is compared with, where a narrow speed-up was asked for."""
        if not self._settings.compare:
            return None
        for partner in cell.partners:
            if not self._is_no_baseline(partner):
                return self._cells[partner].visits
        return None

    def _look_around(self, cell: _Cell) -> None:
        """Give the visits what the canary says of their seconds, until no later reading can."""
        for position in range(cell.settled, len(cell.visits)):
            visit = cell.visits[position]
            hops_ns = visit.hops_ns
            readings = self._trace.around(visit.at_s, visit.end_s, hops_ns[0] if hops_ns else None)
            if readings:
                cell.visits[position] = visit.replaced(
                    around=middle_of(readings), readings_around=len(readings)
                )
            if self._trace.is_settled(visit.end_s):
                cell.settled = position + 1

    def _best_canary(self) -> CanaryBest | None:
        readings = self._trace.smoothed()
        if self._canary_threads is None or not (readings or self._remembered):
            return None
        return best_of(self._remembered, readings, self._canary_threads)

    def _start(self, block: _Block, index: int) -> Iterator[Record]:
        """Start one more process of a cell."""
        cell = self._cells[index]
        self._tell(LaunchStarted(cell.planned, len(cell.launches)))
        launch = block.residence.start(index, cell.job, len(cell.launches))
        cell.launches.append(launch.replaced(round=self._round))
        yield from self._kept(index)

    def _visit(self, block: _Block, index: int, position: int) -> Iterator[Record]:
        """One visit; a process that died is a lost launch, and another one takes its place."""
        cell = self._cells[index]
        if block.residence.processes_of(index) == 0:
            return
        try:
            visit = block.residence.visit(index, self._round, position)
        except ResidentLostError as lost:
            cell.launches.append(Launch(round=self._round, error=str(lost)))
            if cell.failed:
                yield from self._kept(index)
            elif block.residence.processes_of(index) == 0:
                yield from self._start(block, index)
            return
        if visit is None:
            self._tell(VisitLost(cell.planned, "the machine slept"))
        else:
            cell.visits.append(visit)
        if block.residence.restless(index):
            block.residence.end(index)
            self.afresh[index] = "its process works on while it should rest"

    def _end_block(self, block: _Block, plan: VisitPlan) -> None:
        """End the processes; the memory of each is that of all its visits."""
        self._look(block, plan)
        for index in block.cells:
            cell = self._cells[index]
            for number, memory in block.residence.end(index).items():
                cell.launches[number] = cell.launches[number].replaced(memory=memory)
            ending = Ending.SPENT
            if cell.failed:
                ending = Ending.FAILED
            elif cell.widths is not None and cell.widths.narrow(plan.rule.half_width):
                ending = Ending.PRECISE
            cell.stopped = Stopped(ending, None)

    def _kept(self, index: int) -> Iterator[Record]:
        """The record of a cell as it is now, on disk and for the caller; none of one left out."""
        if index not in self.afresh:
            yield from kept(self._record(index), self._context)

    def _record(self, index: int) -> Record:
        cell = self._cells[index]
        self._look_around(cell)
        return record_of(
            cell.planned,
            cell.launches,
            None,
            self._context,
            self._settings,
            cell.stopped,
            visits=cell.visits,
            canary=self._canary_of(cell),
        )

    def _canary_of(self, cell: _Cell) -> CanaryBest | None:
        """None of a cell on a GPU: what is taken from the CPU says nothing of its speed, and its
        visits have their own clock."""
        return self._canary if kind_of(cell.planned.cell.device) == CPU else None

    def _expected_bytes(self, block: _Block, index: int) -> int:
        """What one more process of the cell will hold: as the one before, else by its weights."""
        seen = block.residence.bytes_of(index)
        if seen:
            return seen
        size = self._cells[index].planned.artifact.manifest.size_bytes
        return RUNTIME_BYTES + TIMES_ARTIFACT * size

    def _is_no_baseline(self, index: int) -> bool:
        return not is_baseline(self._cells[index].planned.cell, self._settings.baseline)

    def _remember(self) -> None:
        """Keep the best of this run's canary for later runs on this host, and say what is odd."""
        readings = self._trace.smoothed()
        if self._canary_threads is None or not self._comparable or not readings:
            return
        host = self._context.host
        for words in remembered_words(self._remembered, readings, host, self._canary_threads):
            self._tell(SpeedRemarked(words))
        remember(host, self._canary_threads, readings)


def _room() -> int:
    """What new processes may take of the memory."""
    return available_bytes() - RESERVE_BYTES
