"""A run: the plan's cells are launched in rounds, and each cell's record is kept after every launch."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from deploybench.analysis.bounds import bound_of
from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.artifacts.artifact import Manifest
from deploybench.artifacts.work import work_of
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts.registry import runners
from deploybench.data.synthetic import write_sample_image
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.experiment import Experiment, Stopped
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import Host
from deploybench.hardware.profile import HOST, Profile
from deploybench.hardware.roof import MeasuredPeaks, Roof, roof_of_device
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_rounds
from deploybench.measure.stopping import ExperimentRule
from deploybench.plan import Planned
from deploybench.results.cell import DEFAULT_BASELINE, END_TO_END, HOST_TO_HOST, Cell
from deploybench.results.launch import Launch
from deploybench.results.record import Bound, Record
from deploybench.results.store import write_record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.versions import installed_versions

SHORTEST_LIMIT_S = 60.0
"""A launch samples no longer than this, or twice the time asked for, or a third of the budget, whatever it lacks."""


@dataclass(frozen=True)
class RunSettings:
    """How long to look: launches with windows of ``duration_s``, until ``rule`` ends each cell.

    ``baseline`` names the runner that the others are compared with; when ``compare`` is set, the launches go on
    until these speed-ups are as precise as the cells.
    """

    rule: ExperimentRule
    duration_s: float = 1.0
    min_samples: int = 20
    seed: int = 0
    baseline: str = DEFAULT_BASELINE
    compare: bool = False
    image: str | None = None


@dataclass(frozen=True)
class RunContext:
    """Where the run happens and under which name its records go."""

    run: str
    profile: str
    workspace: Workspace
    host: Host
    peaks: MeasuredPeaks | None
    threads: int
    devices: tuple[str, ...] = (CPU,)
    hardware: Profile | None = None
    """What ``profile`` names; None is the host itself."""
    profile_file: str | None = None
    """Where the profile was read, if it is not a built-in one."""

    def roof(self, device: str) -> Roof | None:
        """What bounds a cell on the device and what its share of the peak refers to; None where it is not known."""
        return roof_of_device(device, self.hardware, self.host, self.peaks)


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

    Whether a launch was the last of its cell may be known only when the next round begins: then its record comes again.

    Closing the iterator early, or an interrupt, leaves the records of what was finished on disk.
    """
    active = [cell for cell in planned if cell.skip is None]
    for cell in planned:
        if cell.skip is not None:
            judgement = Judgement(verdict=Verdict.SKIPPED, reason=cell.skip, advice=cell.remedy)
            yield keep(_record(cell, (), judgement, context, settings), context)
    experiment = Experiment(
        [cell.cell for cell in active], settings.rule, settings.baseline if settings.compare else None
    )
    jobs = [job_of(cell, settings) for cell in active]
    going_on: set[int] = set()

    def record_of(index: int) -> Record:
        made = _record(active[index], experiment.launches[index], None, context, settings, experiment.stopped(index))
        (going_on.discard if made.complete else going_on.add)(index)
        return keep(made, context)

    def concluded() -> list[Record]:
        """The cells whose latest launch turned out to be their last when the next round began."""
        return [record_of(index) for index in sorted(going_on) if experiment.stopped(index) is not None]

    for finished in run_rounds(
        jobs, experiment.wants_more, settings.seed, start=lambda index, number: start(active[index], number)
    ):
        experiment.add(finished.index, finished.launch)
        yield record_of(finished.index)
        yield from concluded()
    yield from concluded()


def end_to_end_image(image: Path | None, workspace: Workspace) -> Path:
    """The file that end-to-end cells read: the user's, or a sample photograph that is put into the workspace."""
    if image is not None:
        if not image.is_file():
            raise DeployBenchError(f"there is no image {image}", action="check the path")
        return image.resolve()
    path = workspace.root / "sample.jpg"
    if not path.is_file():
        write_sample_image(path)
    return path


def keep(record: Record, context: RunContext) -> Record:
    """Write the record into the run's folder and hand it back."""
    write_record(record, context.workspace.records_folder / context.run)
    return record


def job_of(planned: Planned, settings: RunSettings) -> Job:
    """One launch of the cell."""
    cell = planned.cell
    return Job(
        artifact=str(planned.artifact.path), runner=cell.runner, device=cell.device, precision=cell.precision,
        batch=cell.batch, threads=cell.threads, streams=cell.streams, timing=cell.timing, image=settings.image,
        cuda_graph=cell.cuda_graph,
        duration_s=settings.duration_s, min_samples=settings.min_samples,
        limit_s=min(max(SHORTEST_LIMIT_S, 2 * settings.duration_s), max(settings.rule.budget_s / 3, 1.0)),
    )  # fmt: skip


def _record(
    planned: Planned,
    launches: Sequence[Launch],
    judgement: Judgement | None,
    context: RunContext,
    settings: RunSettings,
    stopped: Stopped | None = None,
) -> Record:
    manifest, cell = planned.artifact.manifest, planned.cell
    roof = context.roof(cell.device)
    plugin = runners()[cell.runner].plugin
    command = command_of(cell, settings, context.profile_file or context.profile)
    summary = summarise(launches, cell.batch)
    judgement = judgement or judge(launches, summary, command)
    shown = judgement.verdict not in (Verdict.INVALID, Verdict.FAILED)
    return Record(
        run=context.run,
        created=now(),
        complete=judgement.verdict in (Verdict.SKIPPED, Verdict.INVALID, Verdict.FAILED) or stopped is not None,
        profile=context.profile,
        cell=cell,
        parameters=manifest.model.parameters,
        macs=manifest.model.macs,
        tokens=manifest.model.tokens,
        artifact_bytes=manifest.size_bytes,
        peak_gflops=_peak_gflops(cell, roof),
        bound=_bound(cell, manifest, roof),
        baseline=settings.baseline,
        launches=tuple(launches),
        summary=summary if shown else None,
        judgement=judgement,
        stopped=stopped.ending.value if stopped else None,
        more_rounds=stopped.more_rounds if stopped else None,
        host=context.host,
        versions=installed_versions(plugin.distributions) if plugin else {},
        command=command,
    )


def _peak_gflops(cell: Cell, roof: Roof | None) -> float | None:
    peak = roof.tflops.get(cell.precision) if roof is not None else None
    return None if peak is None else 1e3 * peak


def _bound(cell: Cell, manifest: Manifest, roof: Roof | None) -> Bound | None:
    """The least time that one call of the cell can take; None where the roof or the work is not known."""
    work = work_of(manifest) if roof is not None else None
    if roof is None or work is None:
        return None
    try:
        return bound_of(work, roof, precision=cell.precision, batch=cell.batch)
    except DeployBenchError:
        return None


def command_of(cell: Cell, settings: RunSettings, profile: str) -> str:
    """The one command that measures this cell again, in the same way and under the same name of the hardware."""
    words = ["deploybench", "run", "--artifact", str(Path(cell.artifact or "").resolve()), "--runner", cell.runner]
    words += ["--batch", str(cell.batch), "--threads", str(cell.threads), "--precision", cell.precision]
    if profile != HOST:
        words += ["--profile", profile]
    if cell.device != CPU:
        words += ["--device", cell.device]
    if cell.streams > 1:
        words += ["--streams", str(cell.streams)]
    if cell.timing != HOST_TO_HOST:
        words.append(f"--{cell.timing}")
    if cell.cuda_graph:
        words.append("--cuda-graph")
    if cell.timing == END_TO_END and settings.image is not None:
        words += ["--image", settings.image]
    words += ["--duration", f"{settings.duration_s:g}s", "--min-samples", str(settings.min_samples)]
    rule = settings.rule
    if rule.max_rounds is not None:
        words += ["--rounds", str(rule.max_rounds)]
    elif rule.precision is not None:
        words += ["--precision-target", f"{100 * rule.precision:g}%", "--budget", f"{rule.budget_s:g}s"]
    return shlex.join([*words, "--seed", str(settings.seed)])
