"""A run: the plan's cells are launched in rounds, and each cell's record is kept after every launch."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from deploybench.host import Host
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_rounds
from deploybench.peaks import MeasuredPeaks
from deploybench.plan import Planned
from deploybench.registry import installed_versions, runners
from deploybench.results import Judgement, Launch, Record, Verdict, write_record
from deploybench.summary import summarise
from deploybench.verdicts import judge
from deploybench.workspace import Workspace

SHORTEST_LIMIT_S = 60.0
"""A window that still lacks its samples after this time, or after twice the time asked for, ends."""


@dataclass(frozen=True)
class RunSettings:
    """How long to look: ``rounds`` launches a cell, each with a window of ``duration_s``."""

    rounds: int = 3
    duration_s: float = 2.0
    warmup_s: float = 0.5
    min_samples: int = 20
    seed: int = 0


@dataclass(frozen=True)
class RunContext:
    """Where the run happens and under which name its records go."""

    run: str
    profile: str
    workspace: Workspace
    host: Host
    peaks: MeasuredPeaks | None
    threads: int


def new_run_name() -> str:
    """A name that sorts by time and does not collide between hosts."""
    now = datetime.now(timezone.utc)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def run_cells(
    planned: Sequence[Planned],
    settings: RunSettings,
    context: RunContext,
    *,
    start: Callable[[Planned, int], None] = lambda planned, number: None,
) -> Iterator[Record]:
    """Measure every cell that is not skipped; yield the cell's record after each launch, and once for a skipped one.

    Closing the iterator early, or an interrupt, leaves the records of what was finished on disk.
    """
    launches: dict[int, list[Launch]] = {}
    active = [cell for cell in planned if cell.skip is None]
    for cell in planned:
        if cell.skip is not None:
            judgement = Judgement(verdict=Verdict.SKIPPED, reason=cell.skip, advice=cell.remedy)
            yield keep(_record(cell, (), judgement, context, complete=True), context)
    jobs = [_job(cell, settings) for cell in active]
    for finished in run_rounds(
        jobs, settings.rounds, settings.seed, start=lambda index, number: start(active[index], number)
    ):
        done = launches.setdefault(finished.index, [])
        done.append(finished.launch)
        cell = active[finished.index]
        complete = len(done) == settings.rounds or not finished.launch.measured
        yield keep(_record(cell, done, judge(done, cell.command), context, complete=complete), context)


def keep(record: Record, context: RunContext) -> Record:
    """Write the record into the run's folder and hand it back."""
    write_record(record, context.workspace.records_folder / context.run)
    return record


def _job(planned: Planned, settings: RunSettings) -> Job:
    cell = planned.cell
    return Job(
        artifact=str(planned.artifact.path), runner=cell.runner, device=cell.device, precision=cell.precision,
        batch=cell.batch, threads=cell.threads, warmup_s=settings.warmup_s, duration_s=settings.duration_s,
        min_samples=settings.min_samples, limit_s=max(SHORTEST_LIMIT_S, 2 * settings.duration_s, 2 * settings.warmup_s),
    )  # fmt: skip


def _record(
    planned: Planned, launches: Sequence[Launch], judgement: Judgement, context: RunContext, *, complete: bool
) -> Record:
    manifest, cell = planned.artifact.manifest, planned.cell
    plugin = runners()[cell.runner].plugin
    shown = judgement.verdict not in (Verdict.INVALID, Verdict.FAILED)
    return Record(
        run=context.run,
        created=now(),
        complete=complete,
        profile=context.profile,
        cell=cell,
        parameters=manifest.model.parameters,
        macs=manifest.model.macs,
        artifact_bytes=manifest.size_bytes,
        peak_gflops=context.peaks.gflops.get(cell.precision) if context.peaks else None,
        launches=tuple(launches),
        summary=summarise(launches, cell.batch) if shown else None,
        judgement=judgement,
        host=context.host,
        versions=installed_versions(plugin.distributions) if plugin else {},
        command=planned.command,
    )


def now() -> str:
    """The time in UTC as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
