"""The export pipeline.

Look whether it was done before, export in a child, verify in a fresh process, publish in one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from deploybench import __version__
from deploybench.analysis.known_accuracy import Acceptance
from deploybench.artifacts.artifact import (
    MANIFEST,
    Artifact,
    Manifest,
    open_artifact,
    whole_artifact,
)
from deploybench.artifacts.signature import is_signed
from deploybench.artifacts.workspace import Workspace, publish
from deploybench.children import deadlines
from deploybench.children.processes import interrupted, run_forked, start_fork_server, stop_children
from deploybench.contracts import Runner
from deploybench.contracts.registry import exporter, exporters, runners, runners_of_format
from deploybench.data.own_images import choose_images
from deploybench.errors import DeployBenchError
from deploybench.export.files import check_files, seen_from_here
from deploybench.export.identity import PRELOAD, contents_of, identity_of_weights
from deploybench.export.job import ExportJob, ExportReply
from deploybench.export.labels import with_labels_of, with_task_of
from deploybench.export.look import Looks
from deploybench.export.names import NameCheck
from deploybench.export.quantisation import check_quantisation, hash_of_images, remark_on_layers
from deploybench.export.request import ExportRequest, ExportResult
from deploybench.files import from_here
from deploybench.hardware.devices import CPU, CUDA
from deploybench.hardware.gpus import targets_here
from deploybench.hardware.host import usable_cores
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job, verify
from deploybench.models.source import find_source
from deploybench.results.launch import Launch
from deploybench.versions import installed_versions

CHILD = "deploybench.export.job"
NAME_CHILD = "deploybench.export.names"
NAME_LIMIT_S = 120.0
MOST_DEFAULT_JOBS = 4
"""An export of a large model takes several GB."""
DEFAULT_TIME_LIMIT_S = 900.0


@dataclass(frozen=True)
class ExportOptions:
    """How exports are done. ``jobs`` run side by side; ``time_limit_s`` is for each.

    ``acceptance`` is what may take the place of parity; None: nothing may.
    """

    force: bool = False
    time_limit_s: float = DEFAULT_TIME_LIMIT_S
    jobs: int = 1
    acceptance: Acceptance | None = None


def export_all(
    requests: Sequence[ExportRequest],
    workspace: Workspace,
    options: ExportOptions,
    *,
    start: Callable[[ExportRequest], None] = lambda request: None,
) -> Iterator[ExportResult]:
    """Do every export and yield each result as it ends; a failure is a result, the others go on."""

    start_fork_server(_preload(requests))
    looks = Looks()

    def work(request: ExportRequest) -> ExportResult:
        start(request)
        return export_one(request, workspace, options, looks)

    with ThreadPoolExecutor(max_workers=options.jobs) as pool:
        waiting: set[Future[ExportResult]] = {pool.submit(work, request) for request in requests}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_children()
            raise


def export_one(
    request: ExportRequest,
    workspace: Workspace,
    options: ExportOptions,
    looks: Looks | None = None,
) -> ExportResult:
    """One export, verified. Problems are in the result.

    ``looks`` are shared by the exports of one order, so that each model is looked at once.
    """
    began = perf_counter()
    try:
        artifact, reused, remark = _export(request, workspace, options, looks or Looks())
    except DeployBenchError as error:
        seen = seen_from_here(error, [request.model])
        return ExportResult(request, None, False, perf_counter() - began, seen)
    except OSError as error:
        problem = DeployBenchError(
            f"{error.filename or workspace.root} cannot be read or written: {error.strerror}",
            action="check the permissions and the free space",
        )
        return ExportResult(request, None, False, perf_counter() - began, problem)
    parity = artifact.manifest.parity
    if options.acceptance is not None:
        parity = options.acceptance.weighed(artifact)
    seconds = perf_counter() - began
    said = (remark, remark_on_layers(request, artifact))
    remark = "; ".join(words for words in said if words) or None
    return ExportResult(request, artifact, reused, seconds, remark=remark, parity=parity)


def _preload(requests: Sequence[ExportRequest]) -> tuple[str, ...]:
    """What the exporters of the requests want to have imported once for all."""
    modules: list[str] = []
    for request in requests:
        plugin = exporter(request.backend).plugin
        if plugin is not None:
            modules += plugin.preload
    return tuple(dict.fromkeys(modules))


def default_jobs() -> int:
    """How many exports run side by side when nobody says: the cores, at most four."""
    return min(usable_cores(), MOST_DEFAULT_JOBS)


def usable_backends(precision: str, target: str | None = None) -> list[str]:
    """The exporters that work on this host, write that precision, and do so without being named.

    One for a kind of GPU is among them if it builds for ``target``.
    """
    names = []
    for name, entry in exporters().items():
        if not entry.usable:
            continue
        plugin = entry.require()
        if not plugin.by_default or precision not in plugin.precisions:
            continue
        if plugin.takes_target and not plugin.builds_for(target):
            continue
        names.append(name)
    if not names:
        raise DeployBenchError(
            f"no exporter on this host writes {precision}",
            action='pip install "deploybench[cpu]"; see deploybench doctor',
        )
    return names


def takes_target(backend: str) -> bool:
    """Whether what that backend writes is for one kind of GPU. Refuses an unknown backend."""
    plugin = exporter(backend).plugin
    return plugin is not None and plugin.takes_target


def check_requests(requests: Sequence[ExportRequest]) -> None:
    """Refuse what cannot work before anything starts.

    That is an unknown model, backend or precision, an option that is not taken, a file that is
    missing or does not read, a checkpoint that is none.
    """
    for request in requests:
        _check_request(request)
    checkpoints = {request.model.checkpoint for request in requests if request.model.checkpoint}
    names = {request.model.name for request in requests}
    try:
        check_model_names(sorted(names), sorted(checkpoints))
    except DeployBenchError as error:
        raise seen_from_here(error, [request.model for request in requests]) from None


def check_model_names(names: Sequence[str], checkpoints: Sequence[str] = ()) -> None:
    """Refuse an unknown model, and a checkpoint that does not read.

    Looking into timm's registry or a checkpoint imports torch, so a child does that.
    """
    foreign = []
    for name in names:
        source, own_name = find_source(name)
        source.identity(own_name)
        if not source.names():
            foreign.append(name)
    if not foreign and not checkpoints:
        return
    request = NameCheck(names=tuple(foreign), checkpoints=tuple(checkpoints)).model_dump_json()
    outcome = run_forked(NAME_CHILD, request, preload=PRELOAD, time_limit_s=NAME_LIMIT_S)
    if outcome.reply is None:
        raise DeployBenchError(f"the models and checkpoints could not be checked: {outcome.error}")
    ExportReply.model_validate_json(outcome.reply).raise_failure()


def _check_request(request: ExportRequest) -> None:
    entry = exporter(request.backend)
    plugin = entry.plugin
    if plugin is not None and request.precision not in plugin.precisions:
        writers = []
        for name, other in exporters().items():
            if other.plugin is not None and request.precision in other.plugin.precisions:
                writers.append(f"--backend {name}")
        raise DeployBenchError(
            f"the {request.backend} exporter does not write {request.precision}",
            expected=f"one of {', '.join(sorted(plugin.precisions))}",
            action=f"what writes {request.precision}: {' or '.join(writers) or 'nothing here'}",
        )
    if plugin is not None:
        plugin.read_options(request.options)
    if entry.usable:
        entry.require().check_target(request.target)
    check_files(request.model)
    choose_images(request.model.reference_images)
    check_quantisation(request)


def _export(
    request: ExportRequest, workspace: Workspace, options: ExportOptions, looks: Looks
) -> tuple[Artifact, bool, str | None]:
    """The artifact, whether it was there already, and the remark of an :class:`ExportResult`."""
    plugin = exporter(request.backend).require()
    check_quantisation(request)
    source, name = find_source(request.model.name)
    versions = {
        "deploybench": __version__,
        **installed_versions(("torch", "timm", *plugin.distributions_for(request.precision))),
    }
    identity = {
        **source.identity(name),
        **plugin.identity(),
        **plugin.identity_for(request.spec(plugin.default_options())),
        **identity_of_weights(request.model),
    }
    built = looks.at(request.model, time_limit_s=options.time_limit_s)
    if built is not None:
        identity["built_sha256"] = built.sha256
    # The key of today first, then those by which earlier versions stored the same export.
    images = hash_of_images(request)
    contents = [{**known, **images} for known in contents_of(request.model)]
    keys = [request.key(known, identity, versions) for known in contents]
    key = keys[0]
    destination = _folder(workspace, request, key)
    if not options.force:
        for folder in [_folder(workspace, request, known_key) for known_key in keys]:
            present = _reusable(folder, request)
            if present is not None:
                present, task_remark = with_task_of(request.model, present, workspace)
                present, remark = with_labels_of(request.model, present, workspace)
                remark = "; ".join(said for said in (task_remark, remark) if said) or None
                return present, True, remark or _other_source(request, present)
    reproduce = f"reproduce: {request.command()}"
    if deadlines.passed():
        raise DeployBenchError(deadlines.WORDS, action=reproduce)
    with workspace.staging() as staging:
        job = ExportJob(
            request=request, staging=str(staging), key=key, versions=versions, built=built
        )
        outcome = run_forked(
            CHILD, job.model_dump_json(), preload=plugin.preload, time_limit_s=options.time_limit_s
        )
        if outcome.reply is None:
            raise DeployBenchError(outcome.error or "the export said nothing", action=reproduce)
        ExportReply.model_validate_json(outcome.reply).raise_failure(reproduce)
        verify_staged(staging, request)
        publish(staging, destination)
    return open_artifact(destination), False, None


def _folder(workspace: Workspace, request: ExportRequest, key: str) -> Path:
    return workspace.artifact_folder(
        request.model.name, request.backend, request.precision, request.batch, key
    )


def _other_source(request: ExportRequest, artifact: Artifact) -> str | None:
    """The remark that the same weights were exported before, from another file."""
    checkpoint = request.model.checkpoint
    first = artifact.manifest.weights.source
    if checkpoint is None or checkpoint == first:
        return None
    return (
        f"{from_here(checkpoint)} holds the weights that were exported from {from_here(first)}: it "
        "is the same artifact"
    )


def _reusable(folder: Path, request: ExportRequest) -> Artifact | None:
    """The artifact in that folder if it need not be exported again.

    It is whole, was made or trusted by this user, and was checked, or still cannot be checked here.
    Anybody can write a manifest of that key around other files.
    """
    artifact = whole_artifact(folder)
    if artifact is None or not is_signed(artifact):
        return None
    if artifact.manifest.parity is not None:
        return artifact
    if artifact.manifest.parity_runner or _runner_here(request):
        return None
    return artifact


def verify_staged(staging: Path, request: ExportRequest) -> None:
    """Check parity in a fresh process on the format's own runner.

    The outcome is written into the manifest.
    """
    runner_name, launch = _parity_launch(staging, request)
    path = staging / MANIFEST
    manifest = Manifest.model_validate_json(path.read_bytes())
    parity = None
    if launch is None:
        note = f"not run here: {_why_no_runner(request)}"
        if manifest.parity_note:
            note += f"; {manifest.parity_note}"
    elif launch.parity is not None:
        parity = launch.parity
        note = parity.reason
    else:
        note = f"not checked: {launch.error or launch.refused}"
    if interrupted():
        raise DeployBenchError("interrupted before it was verified")
    if parity is None and launch is not None and deadlines.passed():
        raise DeployBenchError(deadlines.stopped_words(0), action=f"reproduce: {request.command()}")
    verified = manifest.replaced(parity=parity, parity_note=note, parity_runner=runner_name)
    path.write_text(verified.sealed().model_dump_json(indent=1))


def _parity_launch(staging: Path, request: ExportRequest) -> tuple[str | None, Launch | None]:
    """The runner that checked the artifact, and its launch; (None, None) where there is none."""
    checking = _runner_here(request)
    if checking is None:
        return None, None
    name, plugin, device = checking
    job = Job(
        artifact=str(staging),
        runner=name,
        device=device,
        precision=plugin.default_precision(request.precision),
        batch=request.batch or 1,
        threads=request.threads,
        measure=False,
    )
    if plugin.preload:
        return name, verify(job, preload=plugin.preload)
    return name, run_job(job)


def _runner_here(request: ExportRequest) -> tuple[str, Runner, str] | None:
    """The runner that checks such an artifact on this host, and its device.

    The device is the CPU, or the driver's first GPU where the runner needs one.
    """
    for entry in runners_of_format(request.backend):
        if entry.plugin is None:
            continue
        if CPU in entry.plugin.devices:
            return entry.name, entry.plugin, CPU
        here = targets_here()
        if CUDA in entry.plugin.devices and here and request.target in (None, here[0]):
            return entry.name, entry.plugin, CUDA
    return None


def _why_no_runner(request: ExportRequest) -> str:
    """Why nothing on this host can check such an artifact, in words."""
    lacking = f"this host has no runner for {request.backend}{_for_target(request)}"
    for entry in runners().values():
        if entry.plugin is None or request.backend not in entry.plugin.formats or entry.usable:
            continue
        lacking += f"; {entry.name} cannot be used: {entry.problem}"
        if entry.remedy:
            lacking += f" ({entry.remedy})"
    return lacking


def _for_target(request: ExportRequest) -> str:
    if not request.target:
        return ""
    return f" on {request.target}"
