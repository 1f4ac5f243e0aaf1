"""A run: the plan's cells are visited, or launched afresh, in rounds; their records follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from deploybench.artifacts.workspace import Workspace
from deploybench.data.synthetic import write_sample_image
from deploybench.errors import DeployBenchError
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_rounds
from deploybench.plan.cells import Planned
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.runs.events import LaunchedAfresh, LaunchStarted, RunEvent
from deploybench.runs.experiment import Experiment
from deploybench.runs.records import kept, record_of
from deploybench.runs.settings import RunContext, RunSettings
from deploybench.runs.visiting import Visiting

SHORTEST_LIMIT_S = 60.0
"""A launch samples no longer than this, or twice the time asked for, or a third of the budget,
whatever it lacks."""


def run_cells(
    planned: Sequence[Planned],
    settings: RunSettings,
    context: RunContext,
    *,
    tell: Callable[[RunEvent], None] = lambda event: None,
) -> Iterator[Record]:
    """Measure every cell that is not skipped; yield the cell's record as it changes.

    The record of a skipped cell comes once. A cell may turn out to be finished only when the next
    round begins; its record, now complete, is then yielded again.

    Closing the iterator early, or an interrupt, leaves the records of what was finished on disk.
    Raises DeployBenchError when a record cannot be kept (a full disk) or no child can be started;
    the record is yielded first, so what was measured is not lost to the caller.
    """
    active = []
    for cell in planned:
        if cell.skip is None:
            active.append(cell)
            continue
        judgement = Judgement(verdict=Verdict.SKIPPED, reason=cell.skip, advice=cell.remedy)
        yield from kept(record_of(cell, (), judgement, context, settings), context)

    jobs = [job_of(cell, settings) for cell in active]
    resting = [index for index, cell in enumerate(active) if settings.visits(cell.cell.device)]
    afresh = [index for index in range(len(active)) if index not in resting]
    if resting:
        cells = [active[index] for index in resting]
        visiting = Visiting(cells, [jobs[index] for index in resting], settings, context, tell)
        yield from visiting.records()
        for position, reason in visiting.afresh.items():
            tell(LaunchedAfresh(cells[position], reason))
            afresh.append(resting[position])
    chosen = [active[index] for index in afresh]
    yield from _launched(chosen, [jobs[index] for index in afresh], settings, context, tell)


def _launched(
    active: Sequence[Planned],
    jobs: Sequence[Job],
    settings: RunSettings,
    context: RunContext,
    tell: Callable[[RunEvent], None],
) -> Iterator[Record]:
    """Measure the cells in rounds of fresh launches; their records as in :func:`run_cells`."""
    baseline = None
    if settings.compare:
        baseline = settings.baseline
    experiment = Experiment([cell.cell for cell in active], settings.rule, baseline)
    unfinished: set[int] = set()

    def record_now(index: int) -> Record:
        launches = experiment.launches[index]
        stopped = experiment.stopped(index)
        record = record_of(active[index], launches, None, context, settings, stopped)
        if record.complete:
            unfinished.discard(index)
        else:
            unfinished.add(index)
        return record

    def concluded() -> Iterator[Record]:
        """The cells whose latest launch turned out to be their last when the next round began."""
        for index in sorted(unfinished):
            if experiment.stopped(index) is not None:
                yield from kept(record_now(index), context)

    for finished in run_rounds(
        jobs,
        experiment.wants_more,
        settings.seed,
        start=lambda index, number: tell(LaunchStarted(active[index], number)),
    ):
        experiment.add(finished.index, finished.launch)
        yield from kept(record_now(finished.index), context)
        yield from concluded()
    yield from concluded()


def end_to_end_image(image: Path | None, workspace: Workspace) -> Path:
    """The file that end-to-end cells read: the user's, or a sample written into the workspace."""
    if image is not None:
        if not image.is_file():
            raise DeployBenchError(f"there is no image {image}", action="check the path")
        return image.resolve()
    path = workspace.root / "sample.jpg"
    if not path.is_file():
        write_sample_image(path)
    return path.resolve()


def job_of(planned: Planned, settings: RunSettings) -> Job:
    """One launch of the cell."""
    cell = planned.cell
    longest_s = max(SHORTEST_LIMIT_S, 2 * settings.duration_s)
    third_of_budget_s = max(settings.rule.budget_s / 3, 1.0)
    return Job(
        artifact=str(planned.artifact.path),
        runner=cell.runner,
        device=cell.device,
        precision=cell.precision,
        batch=cell.batch,
        threads=cell.threads,
        streams=cell.streams,
        timing=cell.timing,
        image=settings.image,
        duration_s=settings.duration_s,
        min_samples=settings.min_samples,
        limit_s=min(longest_s, third_of_budget_s),
        raw=settings.raw,
        pin=settings.pinning.cpus_for(cell.device),
        evidence=planned.evidence,
        **cell.option_values,
    )
