"""A whole run by one call: what is asked for, and carrying it out. Needs no command line."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploybench.analysis.known_accuracy import Acceptance
from deploybench.artifacts.acceptance import check_drop
from deploybench.artifacts.workspace import open_workspace
from deploybench.children.processes import allow_children, stop_children
from deploybench.children.resident import CAN_REST
from deploybench.contracts.registry import recorded_distributions
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.export.request import ExportResult
from deploybench.hardware.devices import read_device
from deploybench.hardware.host import describe_host
from deploybench.hardware.pinning import AUTO as PIN_AUTO
from deploybench.hardware.pinning import Pin, check_pin
from deploybench.hardware.precisions import check_precision
from deploybench.hardware.profile import HOST, check_match, load_profile
from deploybench.models.source import expand_groups
from deploybench.plan.acceptance import with_evidence
from deploybench.plan.cells import NO_OPTIONS, Planned, Sizes, plan_cells
from deploybench.plan.consent import check_planned, trusting_command
from deploybench.plan.reachable import check_precisions
from deploybench.plan.selection import (
    check_baseline,
    check_baseline_planned,
    check_options,
    idle_runners,
    named_artifacts,
    nothing_to_run,
    select_artifacts,
    select_devices,
)
from deploybench.results.cell import (
    END_TO_END,
    HOST_TO_HOST,
    TIMINGS,
    Cell,
    CellOptions,
)
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.runs.events import (
    RecordUpdated,
    RunEvent,
    RunPlanned,
    SweepStarted,
)
from deploybench.runs.records import failed_export_record, unreadable_record
from deploybench.runs.run import end_to_end_image, run_cells
from deploybench.runs.settings import (
    AUTO,
    LAUNCHES,
    RESIDENT,
    Launches,
    RunContext,
    RunSettings,
    settings_of,
)
from deploybench.runs.surroundings import (
    context_of,
    export_missing,
    paths_of,
    peaks_of,
    selection_of,
)
from deploybench.runs.sweep import with_auto_batches
from deploybench.telemetry.alone import alone_on_this_machine

FINEST_PRECISION = 1e-4
"""A target below a hundredth of a percent is finer than any clock here resolves."""

Tell = Callable[[RunEvent], None]


@dataclass(frozen=True)
class RunRequest:
    """What is to be measured, and how long to look. The defaults are those of ``deploybench run``.

    Raises DeployBenchError for a value that no run can use.
    """

    models: Sequence[str] = ()
    """Names of models or of groups; what is missing of them is exported first. Empty: all that are
    in the workspace."""
    artifacts: Sequence[Path] = ()
    """Artifact folders, instead of models."""
    packs: Sequence[Path] = ()
    """Files of ``deploybench pack``, instead of models or artifacts: unpacked and measured."""
    image_sizes: Sequence[tuple[int, int]] = ()
    """(height, width) in pixels; empty: any in the workspace, else the model's own."""
    patch_sizes: Sequence[int] = ()
    """Of transformers, in pixels; empty: any."""
    runners: Sequence[str] = ()
    """By name; empty: all that work on the devices of this host."""
    profile: str = HOST
    """The hardware that this host has to be, by name or TOML file; ``host`` is whatever it is."""
    devices: Sequence[str] = ()
    """``cpu``, ``cuda``, ``cuda:1``; empty: the profile's, else the CPU."""
    precisions: Sequence[str] = ()
    """To compute in; empty: each artifact's own."""
    batches: Sequence[int] | Literal["auto"] = (1,)
    """Images a call; ``auto`` doubles until that stops paying."""
    threads: int | None = None
    """The CPU threads that every cell may use; None: the usable cores, or those of ``pin``."""
    pin: Pin = PIN_AUTO
    """The CPUs that the processes are kept on; ``auto``: where the threads belong, if there are
    more CPUs than threads; ``none``: the system chooses."""
    streams: Sequence[int] | Literal["auto"] = (1,)
    """Sessions that run at the same time and share the threads; ``auto``: 1, 2, 4, … threads."""
    timings: Sequence[str] = (HOST_TO_HOST,)
    """What a sample times: ``host-to-host``, ``engine-only``, ``end-to-end``."""
    image: Path | None = None
    """The file for end-to-end; None: a 640 x 480 JPEG of ours."""
    options: CellOptions = NO_OPTIONS
    """Each is asked of the runners that obey it: ``CellOptions(cuda_graph=True)``."""
    environments: Sequence[str] = ()
    """The interpreters that workers are started with, by the names of ``deploybench env list``;
    ``present`` is this one. Every cell is measured in each, side by side. Empty: that of the
    ``options``."""
    skip: Sequence[str] = ()
    """Cells to leave out, as MODEL/RUNNER patterns: ``*/inductor``, ``fair/openvino``."""
    only: Callable[[Cell], bool] | None = None
    """Which of the cells that all this makes are measured; None: every one."""
    precision_target: float = 0.01
    """Look until every interval is this narrow: its half-width as a share of the median."""
    budget_s: float = 60.0
    """Seconds for a cell at most, starts of processes included. The cells of a run that are known
    early leave theirs to the others."""
    rounds: int | None = None
    """Exactly so many fresh launches of every cell, instead of a target and a budget."""
    launches: Launches = "auto"
    """``resident``: processes rest in memory and are visited for moments, in turn; ``fresh``: a new
    process for every look. ``auto``: resident on the CPU, where no number of rounds is given."""
    canary: bool = True
    """Whether fixed work between two visits tells the speed that the machine delivers."""
    duration_s: float | None = None
    """Seconds that one look samples; None: 1 in a launch, 0.15 in a visit."""
    min_samples: int = 20
    """Samples of one launch at least."""
    max_accuracy_drop: float | None = None
    """Where a reduced precision fails parity: the drop of accuracy beside fp32 eager by which the
    cell is measured all the same, if an evaluation in the workspace says that no more is lost
    (0.01: a percentage point). None: by none."""
    raw: bool = False
    """Keep every sample of a launch, however many: beyond 100,000 they are else counted in bins."""
    baseline: str | None = None
    """The runner to compare with; launches then go on until the speed-ups are precise, too. None:
    speed-ups are over PyTorch, as precise as the cells happen to be."""
    seed: int = 0
    """Of the random order within a round."""
    trust: bool = False
    """Whether the user answers for artifacts that were not made here: they may run code, and are
    signed, so that nobody is asked again."""
    typed_with_trust: str | None = None
    """The command line with ``--trust``, which a refusal for want of it shows; None: a short one of
    the artifacts and the workspace alone."""
    workspace: Path | None = None
    """The folder of artifacts and records; None: $DEPLOYBENCH_WORKSPACE, else
    ./deploybench-workspace."""

    def __post_init__(self) -> None:
        for precision in self.precisions:
            check_precision(precision)
        for timing in self.timings:
            if timing not in TIMINGS:
                raise unknown_name("timing", timing, TIMINGS)
        if self.batches != AUTO:
            _check_counts("batch sizes", self.batches)
        if self.streams != AUTO:
            _check_counts("streams", self.streams)
        if self.threads is not None:
            _check_counts("threads", (self.threads,))
        check_pin(self.pin)
        check_drop(self.max_accuracy_drop)
        if self.rounds is not None:
            _check_counts("rounds", (self.rounds,))
        _check_counts("samples of a launch", (self.min_samples,))
        if not FINEST_PRECISION <= self.precision_target < math.inf:
            raise DeployBenchError(
                f"a precision target of {self.precision_target:g}",
                expected=f"a share of the median, at least {FINEST_PRECISION:g}: 0.01 for 1%",
            )
        if self.launches not in LAUNCHES:
            raise unknown_name("kind of launches", self.launches, LAUNCHES)
        if self.launches == RESIDENT:
            self._check_resident()
        for name, seconds in (("budget", self.budget_s), ("duration", self.duration_s)):
            if seconds is not None and not 0 < seconds < math.inf:
                raise DeployBenchError(f"a {name} of {seconds:g} s", expected="more than 0 s")

    def _check_resident(self) -> None:
        if self.rounds is not None:
            raise DeployBenchError(
                "a number of rounds beside resident processes",
                expected="rounds of fresh launches, or a budget for visits",
                action="--launches fresh, or --budget instead of --rounds",
            )
        if not CAN_REST:
            raise DeployBenchError(
                "resident processes on a system that cannot stop them",
                expected="Linux or macOS",
                action="--launches fresh",
            )

    @property
    def sizes(self) -> Sizes:
        """The image and patch sizes together."""
        return Sizes(tuple(self.image_sizes), tuple(self.patch_sizes))


@dataclass(frozen=True)
class RunResult:
    """What came out of a run: one record a cell, in the order of the plan.

    Failures to export stand first. The records also lie in ``folder``. ``cut_short`` is what ended
    the run early (an interrupt, a full disk); the records are then those of what was finished.
    """

    run: str
    folder: Path
    records: tuple[Record, ...]
    cut_short: KeyboardInterrupt | DeployBenchError | None = None

    @property
    def interrupted(self) -> bool:
        """Whether the user ended the run."""
        return isinstance(self.cut_short, KeyboardInterrupt)

    @property
    def failed(self) -> bool:
        """Whether any cell broke or computed something wrong."""
        bad = (Verdict.FAILED, Verdict.INVALID)
        return any(record.judgement.verdict in bad for record in self.records)


def carry_out(request: RunRequest, on_event: Callable[[RunEvent], None] | None = None) -> RunResult:
    """Export what is missing, measure every cell in rounds of fresh processes, and record each.

    ``on_event`` is told of the progress, one event at a time. What ends the run while cells are
    measured (KeyboardInterrupt, a disk that is full) is in the result, with what was finished.

    Raises DeployBenchError for what cannot be measured here, before anything is measured. A cell
    that fails raises nothing: its record says why. Refused are also artifacts that hold code and
    were not made here, unless the request says ``trust``.
    """
    allow_children()
    tell = on_event or _ignore
    # What the machine is, and what of it the run is about.
    profile = None
    if request.profile != HOST:
        profile = load_profile(request.profile)
    host = describe_host(recorded_distributions())
    if profile is not None:
        check_match(profile, host)
    devices = select_devices([read_device(name) for name in request.devices], profile, host)
    workspace = open_workspace(request.workspace)
    workspace.prepare()
    image = None
    if END_TO_END in request.timings:
        image = end_to_end_image(request.image, workspace)
    settings = settings_of(request, image)
    environments = list(dict.fromkeys(request.environments)) or [request.options.stack]
    selections = [selection_of(request, devices, image, name) for name in environments]
    selection = selections[0]
    check_options(selection)
    if request.baseline is not None:
        check_baseline(request.baseline, selection)

    # The artifacts: those that were named, or those of the workspace and what it lacked.
    paths = paths_of(request, workspace)
    models = expand_groups(request.models)
    if request.precisions:
        present = [*workspace.artifacts(), *named_artifacts(workspace, paths)]
        check_precisions(selection, present, profile)
    not_exported: list[ExportResult] = []
    unreadable: list[tuple[Path, DeployBenchError]] = []
    if not paths:
        not_exported = export_missing(models, request, workspace, selection, profile, tell)
        unreadable = workspace.unreadable()
    explained = bool(not_exported or unreadable)
    artifacts = select_artifacts(workspace, models, paths, request.sizes, explained=explained)

    # The cells; none of them runs code of others without consent.
    planned = []
    for chosen in selections:
        planned += plan_cells(artifacts, chosen, profile)
    if request.only is not None:
        planned = [plan for plan in planned if request.only(plan.cell)]
    if request.baseline is not None:
        check_baseline_planned(request.baseline, planned)
    command = request.typed_with_trust
    if command is None:
        command = trusting_command("run", request.artifacts, request.packs, request.workspace)
    check_planned(planned, trust=request.trust, command=command)

    if request.max_accuracy_drop is not None:
        known = Acceptance(workspace, request.max_accuracy_drop)
        planned = with_evidence(planned, known, "run")

    with alone_on_this_machine(tell):
        # What has no artifact gets its record at once.
        peaks = peaks_of(host, selection, tell)
        context = context_of(request, profile, workspace, host, peaks, selection)
        records = [failed_export_record(result, context, artifacts) for result in not_exported]
        records += [unreadable_record(folder, error, context) for folder, error in unreadable]
        if not planned and not records:
            raise nothing_to_run(artifacts, selection)
        if request.batches == AUTO:
            planned = with_auto_batches(
                planned, settings, start=lambda cell: tell(SweepStarted(cell))
            )
        folder = workspace.records_folder / context.run
        idle = idle_runners(request.runners, planned)
        tell(RunPlanned(tuple(planned), folder, idle, settings.pinning))
        measured, cut_short = _measure(planned, settings, context, tell)
        return RunResult(context.run, folder, (*records, *measured), cut_short)


def _ignore(event: RunEvent) -> None:
    return


def _check_counts(name: str, numbers: Sequence[int]) -> None:
    for number in numbers:
        if number < 1:
            raise DeployBenchError(f"{name}: {number}", expected="whole numbers from 1 on")


def _measure(
    planned: Sequence[Planned], settings: RunSettings, context: RunContext, tell: Tell
) -> tuple[list[Record], KeyboardInterrupt | DeployBenchError | None]:
    """The latest record of every cell in the order of the plan, and what cut the run short."""
    latest: dict[tuple[str | int | None, ...], Record] = {}
    cut_short: KeyboardInterrupt | DeployBenchError | None = None

    try:
        for record in run_cells(planned, settings, context, tell=tell):
            latest[record.cell.key] = record
            tell(RecordUpdated(record))
    except (KeyboardInterrupt, DeployBenchError) as error:
        stop_children()
        cut_short = error
    keys = [cell.cell.key for cell in planned]
    return [latest[key] for key in keys if key in latest], cut_short
