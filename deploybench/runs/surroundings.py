"""What a run needs to know before its plan: who takes part, what is missing, where it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.artifacts.pack import read_pack
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export.order import export_requests
from deploybench.export.pipeline import ExportOptions, check_model_names, default_jobs
from deploybench.export.request import ExportResult
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import Host
from deploybench.hardware.pinning import thread_budget
from deploybench.hardware.profile import HOST, Profile
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.models.source import expand_patterns
from deploybench.plan.cells import Selection, Sizes
from deploybench.plan.environments import runners_in
from deploybench.results.store import new_run_name
from deploybench.runs.events import PeaksMeasured, RunEvent
from deploybench.runs.missing import missing_exports
from deploybench.runs.settings import AUTO, RunContext
from deploybench.runs.sweep import doublings
from deploybench.stacks.stack import PRESENT
from deploybench.telemetry.peaks import measured_peaks

if TYPE_CHECKING:
    from deploybench.runs.request import RunRequest

Tell = Callable[[RunEvent], None]


def selection_of(
    request: RunRequest,
    devices: Sequence[str],
    image: Path | None,
    environment: str = PRESENT,
) -> Selection:
    """Names become runners, and ``auto`` becomes what it starts from.

    In another ``environment`` those runners can be used that can be used there.
    """
    threads = thread_budget(request.threads, request.pin)
    batches: Sequence[int] = [1]
    if request.batches != AUTO:
        batches = request.batches
    streams: Sequence[int] = doublings(threads)
    if request.streams != AUTO:
        streams = request.streams
    image_identity = None
    if image is not None:
        image_identity = sha256_of_file(image)[:12]
    return Selection(
        runners=runners_in(environment, request.runners, devices),
        batches=batches,
        precisions=request.precisions,
        threads=threads,
        streams=streams,
        timings=request.timings,
        image=image_identity,
        options=request.options.replaced(stack=environment),
        skip=expand_patterns(request.skip),
        devices=devices,
    )


def paths_of(request: RunRequest, workspace: Workspace) -> list[Path]:
    """The artifact folders that were named, or that lie in the packs."""
    if not request.packs:
        return list(request.artifacts)
    if request.models or request.artifacts or request.sizes != Sizes():
        raise DeployBenchError(
            "a pack beside --model, --artifact or a size",
            expected="one way to say what to measure",
        )
    folders: list[Path] = []
    for pack in request.packs:
        folders += [artifact.path for artifact in read_pack(pack, workspace)]
    return list(dict.fromkeys(folders))  # an artifact may lie in several packs


def export_missing(
    models: Sequence[str],
    request: RunRequest,
    workspace: Workspace,
    selection: Selection,
    profile: Profile | None,
    tell: Tell,
) -> list[ExportResult]:
    """Export what the named models lack; the results that have no artifact."""
    requests = missing_exports(models, workspace, selection, request.sizes, profile)
    if not requests:
        return []
    check_model_names(list(dict.fromkeys(missing.model.name for missing in requests)))
    results = export_requests(requests, workspace, ExportOptions(jobs=default_jobs()), tell)
    return [result for result in results if result.artifact is None]


def peaks_of(host: Host, selection: Selection, tell: Tell) -> MeasuredPeaks | None:
    """What this CPU can do at most, where any cell runs on it."""
    if CPU not in selection.devices:
        return None
    peaks = measured_peaks(host, selection.threads)
    tell(PeaksMeasured(peaks))
    return peaks


def context_of(
    request: RunRequest,
    profile: Profile | None,
    workspace: Workspace,
    host: Host,
    peaks: MeasuredPeaks | None,
    selection: Selection,
) -> RunContext:
    profile_name = HOST
    profile_file = None
    if profile is not None:
        profile_name = profile.name
        if request.profile != profile.name:  # what was asked for is then the path of its file
            profile_file = str(Path(request.profile).resolve())
    return RunContext(
        run=new_run_name(),
        profile=profile_name,
        workspace=workspace,
        host=host,
        peaks=peaks,
        threads=selection.threads,
        devices=tuple(selection.devices),
        hardware=profile,
        profile_file=profile_file,
    )
