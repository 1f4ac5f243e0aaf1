"""A whole tuning by one call: export, evaluate, measure in rounds that halve, choose. Needs no
command line.

What an earlier call of the same tuning has done is not done again: an artifact is found by its key,
an evaluation and a round by the tuning's journal. What fails is a row with its reason, and the
others go on.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from deploybench import __version__
from deploybench.analysis.tuned import NotTried, Tuned
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace, open_workspace
from deploybench.children import deadlines
from deploybench.children.processes import allow_children, stop_children
from deploybench.contracts.registry import recorded_distributions
from deploybench.errors import DeployBenchError
from deploybench.evaluate.job import DataRequest
from deploybench.export.order import export_requests
from deploybench.export.pipeline import ExportOptions, check_requests, default_jobs
from deploybench.export.request import ExportResult
from deploybench.files import slug
from deploybench.hardware.devices import read_device
from deploybench.hardware.host import describe_host
from deploybench.hardware.pinning import thread_budget
from deploybench.hardware.profile import HOST, check_match, load_profile
from deploybench.plan.cells import Planned, Selection
from deploybench.plan.consent import check_planned, trusting_command
from deploybench.plan.selection import named_artifacts, select_devices, select_runners
from deploybench.plurals import counted
from deploybench.results.record import Record
from deploybench.runs.evaluation import check_metrics
from deploybench.tuning.events import TuneEvent, TuneImagesRead, TuneRemarked
from deploybench.tuning.halving import LEAST_EACH_S, least_budget_s
from deploybench.tuning.images import TuneImages, images_of
from deploybench.tuning.journal import KEY_LETTERS, JournalFile, key_of
from deploybench.tuning.measuring import Surroundings
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.rewriting import Rewriting, words_of_writing
from deploybench.tuning.search import EVALUATING_SHARE, Search
from deploybench.tuning.space import (
    INT8,
    Space,
    configurations,
    exports_of,
    planned_cells,
    space_of,
    takes_calibration,
)
from deploybench.versions import installed_versions

TUNED = "tuned"
"""The folder of a workspace for the journals of tunings, their tables of images and bundles."""
BUNDLE = "bundle"
EXPORTING_SHARE = 0.5
"""Of the budget: what is not written by then is not tried, and kept for the next call if it was."""
BUDGET_STEP_S = 10
"""A budget that is suggested is rounded up to the next of this."""

Tell = Callable[[TuneEvent], None]


@dataclass(frozen=True)
class TuneResult:
    """What a tuning found; its records, which also lie in the workspace: of times, and of answers.

    ``cut_short`` is what ended it early; the same call goes on from there.
    """

    tuned: Tuned | None
    timed: tuple[Record, ...]
    evaluated: tuple[Record, ...]
    folder: Path
    cut_short: KeyboardInterrupt | DeployBenchError | None = None

    @property
    def winner(self) -> Record | None:
        """The record of the best configuration; None where nothing is known to be allowed."""
        if self.tuned is None or self.tuned.winner is None:
            return None
        return self.tuned.winner.candidate.record


def tune(request: TuneRequest, on_event: Tell | None = None) -> TuneResult:
    """Find the best configuration of a model within what may be lost of its accuracy.

    ``on_event`` is told of the progress. What ends the tuning while it evaluates or measures
    (KeyboardInterrupt, a disk that is full) is in the result.

    Raises DeployBenchError for what cannot be tuned here, before anything is exported: data that is
    none, a budget too short for one round of all configurations.
    """
    allow_children()
    tell = on_event or _ignore
    began = monotonic()
    with deadlines.no_later_than(began + request.budget_s):
        found = _found(request, tell)
    search, artifacts = found.search, found.artifacts
    tuned = search.outcome()
    cut_short = found.cut_short
    if tuned is None and cut_short is None:
        cut_short = DeployBenchError(
            f"--budget {request.budget_s:g}s was spent before anything was measured side by side",
            expected="time for exports, evaluations and one round",
            action="a larger --budget: it goes on from here",
        )
    if tuned is not None:
        not_tried = (*found.not_tried, *tuned.not_tried)
        tuned = replace(tuned, not_tried=not_tried, notes=found.notes)
        if cut_short is None:
            # What was promised is over; writing down what was found is none of it.
            tuned = _with_bundle(tuned, request, found.folder, artifacts, search)
    return TuneResult(
        tuned=tuned,
        timed=tuple(search.records.values()),
        evaluated=tuple(search.evaluations.records.values()),
        folder=found.folder,
        cut_short=cut_short,
    )


@dataclass(frozen=True)
class _Found:
    """What was done within the budget."""

    search: Search
    artifacts: Sequence[Artifact]
    folder: Path
    not_tried: Sequence[NotTried]
    notes: tuple[str, ...]
    cut_short: KeyboardInterrupt | DeployBenchError | None


def _found(request: TuneRequest, tell: Tell) -> _Found:
    """Export, evaluate and measure, until the deadline of this process."""
    profile = None
    if request.profile != HOST:
        profile = load_profile(request.profile)
    host = describe_host(recorded_distributions())
    if profile is not None:
        check_match(profile, host)
    devices = select_devices([read_device(name) for name in request.devices], profile, host)
    selection = Selection(
        runners=select_runners(request.runners, devices),
        batches=[request.batch],
        precisions=(),
        threads=thread_budget(request.threads, request.pin),
        devices=devices,
    )
    workspace = open_workspace(request.workspace)
    workspace.prepare()
    space: Space | None = None
    if not request.artifacts:
        space = space_of(request, selection, host)
        _check_budget(request, configurations(request, selection, space))
    folder = workspace.root / TUNED
    needs_images = space is not None and any(form.precision == INT8 for form in space.forms)
    images = images_of(
        request,
        folder / "images",
        lambda done, count: tell(TuneImagesRead(done, count)),
        calibrate=needs_images,
    )
    if images.labelled:
        check_metrics()
    for note in images.notes:
        tell(TuneRemarked(note))
    if space is not None:
        tell(TuneRemarked(_words_of(space, request, selection)))
    surroundings = Surroundings(request, selection, workspace, host, profile, images.labelled)

    not_tried: list[NotTried] = []
    artifacts, failed = _artifacts(request, space, images, workspace, tell)
    not_tried += failed
    planned: list[Planned] = []
    for plan in planned_cells(artifacts, request, selection, space, profile):
        if plan.skip is None:
            planned.append(plan)
        else:
            not_tried.append(NotTried(plan.cell.title(), plan.skip))
    if space is not None:
        not_tried += [NotTried(words.partition(":")[0], words) for words in space.left_out.values()]
    if not planned:
        raise DeployBenchError(
            "nothing to tune: no configuration runs here",
            expected="an artifact that a runner of this host runs",
            action="; ".join(one.reason for one in not_tried) or None,
        )
    if space is None:
        _check_budget(request, len(planned))
    command = request.typed_with_trust
    if command is None:
        command = trusting_command("tune", request.artifacts, workspace=request.workspace)
    check_planned(planned, trust=request.trust, command=command)

    asked = _asked(request, images, artifacts, surroundings)
    name = slug(request.model or artifacts[0].manifest.model.name)
    folder = folder / f"{name}-{key_of(asked)[:KEY_LETTERS]}"
    journal = JournalFile(folder, asked, fresh=request.fresh)
    rewriting = None
    if space is not None and request.export_options:
        rewriting = Rewriting(surroundings, space, tell)
    search = Search(surroundings, images, planned, journal, tell, rewriting)
    cut_short: KeyboardInterrupt | DeployBenchError | None = None
    try:
        search.carry_out()
    except KeyboardInterrupt as interrupt:
        stop_children()
        cut_short = interrupt
    except DeployBenchError as error:
        stop_children()
        cut_short = error
    return _Found(search, artifacts, folder, tuple(not_tried), images.notes, cut_short)


def _words_of(space: Space, request: TuneRequest, selection: Selection) -> str:
    """What is going to be looked at, in words."""
    by_backend: dict[str, list[str]] = {}
    for form in space.forms:
        by_backend.setdefault(form.backend, []).append(form.precision)
    forms = "; ".join(f"{name} {', '.join(precisions)}" for name, precisions in by_backend.items())
    count = counted(configurations(request, selection, space), "configuration")
    words = f"looking at {count}: artifacts of {forms}"
    if request.export_options:
        words += f"; then on those that lead: {words_of_writing()}, layers in float where int8 is "
        words += "too far off"
    return words


def sure_budget_s(count: int, *, exporting: bool) -> float:
    """The budget in seconds that leaves time for one round of so many configurations when exports,
    if there are any, and the first images have taken all that they may."""
    left = 1 - EVALUATING_SHARE
    if exporting:
        left *= 1 - EXPORTING_SHARE
    # What is read and described beside them takes a little, too.
    steps = math.floor(least_budget_s(count) / left / BUDGET_STEP_S) + 1
    return steps * BUDGET_STEP_S


def _check_budget(request: TuneRequest, count: int) -> None:
    """Refuse a budget that one round alone takes, with one that leaves it its time.

    What lies between may do: exports may be quick, and those of an earlier call take no time again.
    """
    least_s = least_budget_s(count)
    if request.budget_s >= least_s:
        return
    exporting = not request.artifacts
    sure_s = sure_budget_s(count, exporting=exporting)
    beside = "exports and first images" if exporting else "first images"
    raise DeployBenchError(
        f"--budget {request.budget_s:g}s for one round of {counted(count, 'configuration')}",
        expected=f"{least_s:g}s for the round, {LEAST_EACH_S:g} s for each to start and to be "
        f"seen, beside the time for {beside}",
        action=f"--budget {sure_s:g}s, which leaves the round its time whatever that "
        "takes, or fewer configurations: --runner, --backend, --precision",
    )


def _artifacts(
    request: TuneRequest,
    space: Space | None,
    images: TuneImages,
    workspace: Workspace,
    tell: Tell,
) -> tuple[list[Artifact], list[NotTried]]:
    """The artifacts that were named, or those of the space; and what could not be exported."""
    if space is None:
        return named_artifacts(workspace, request.artifacts), []
    not_tried = []
    wanted = exports_of(request, space, images.calibration)
    if images.calibration is None and takes_calibration():
        without = [one for one in wanted if one.precision == INT8]
        wanted = [one for one in wanted if one.precision != INT8]
        for one in without:
            reason = f"no images to calibrate on: {images.no_calibration}"
            not_tried.append(NotTried(f"{one.backend} {one.precision}", reason))
    check_requests(wanted)
    share_s = EXPORTING_SHARE * min(deadlines.left_s(), request.budget_s)
    with deadlines.no_later_than(monotonic() + share_s):
        results = export_requests(wanted, workspace, ExportOptions(jobs=default_jobs()), tell)
    artifacts = []
    for result in results:
        if result.artifact is None:
            not_tried.append(_failure(result))
        else:
            artifacts.append(result.artifact)
    if not artifacts:
        raise DeployBenchError(
            f"no format of {request.model} could be exported: {not_tried[-1].reason}",
            action=f"deploybench export --model {request.model} says more",
        )
    return artifacts, not_tried


def _failure(result: ExportResult) -> NotTried:
    reason = f"reproduce: {result.request.command()}"
    if result.error is not None:
        reason = str(result.error)
    return NotTried(f"{result.request.backend} {result.request.precision}", reason, failed=True)


def _asked(
    request: TuneRequest,
    images: TuneImages,
    artifacts: Sequence[Artifact],
    surroundings: Surroundings,
) -> dict[str, object]:
    """All that decides what the rounds and evaluations of a tuning are.

    The budget is not among it: asked again with more time, a tuning goes on.
    """
    host = surroundings.host
    selection = surroundings.selection
    steps: list[DataRequest] = list(images.steps)
    return {
        "artifacts": sorted(artifact.manifest.key for artifact in artifacts),
        "runners": [entry.name for entry in selection.runners],
        "precisions": list(request.precisions),
        "max_accuracy_drop": request.max_accuracy_drop,
        "objective": request.objective.value,
        "memory_limit_bytes": request.memory_limit_bytes,
        "batch": request.batch,
        "profile": request.profile,
        "devices": list(selection.devices),
        "threads": selection.threads,
        "pin": str(request.pin),
        "runtime_options": request.runtime_options,
        "margin": request.margin,
        "seed": request.seed,
        "task": request.task,
        "images": images.sha256,
        "counts": list(images.counts),
        "labelled": images.labelled,
        "class_names": [list(step.class_names or ()) for step in steps],
        "host": [host.hostname, host.cpu_model, [gpu.name for gpu in host.gpus]],
        "versions": {
            "deploybench": __version__,
            **installed_versions(recorded_distributions()),
        },
    }


def _with_bundle(
    found: Tuned,
    request: TuneRequest,
    folder: Path,
    artifacts: Sequence[Artifact],
    search: Search,
) -> Tuned:
    """With the deployment bundle of the winner, or why there is none."""
    winner = found.winner
    if winner is None:
        return found
    candidate = winner.candidate
    if importlib.util.find_spec("deploybench.bundle") is None:
        return replace(found, no_bundle="this version writes no bundles")
    write_bundle = importlib.import_module("deploybench.bundle").write_bundle
    cell = candidate.record.cell
    artifact = next(one for one in artifacts if one.manifest.key == cell.artifact_key)
    target = request.bundle or folder / BUNDLE
    evaluated = search.evaluations.record_of(cell)
    quality = [] if evaluated is None else [evaluated]
    try:
        path = write_bundle(
            artifact,
            cell,
            target,
            records=[candidate.record],
            quality=quality,
            # What an earlier call of this tuning wrote is replaced; a folder of the user's is not.
            force=request.bundle is None,
        )
    except DeployBenchError as error:
        return replace(found, no_bundle=str(error))
    return replace(found, bundle=str(path))


def _ignore(event: TuneEvent) -> None:
    return
