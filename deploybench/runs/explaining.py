"""Where the time of an artifact goes, layer by layer, by one call: what is asked for, and doing it.

The command line is one of its callers. The runtime's profiler runs in a process of its own, after
the same proof as before every clock.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploybench.analysis.bounds import bound_of
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.module_work import ModuleWork
from deploybench.artifacts.naming import newest_of_each, only_artifact_named, short_names
from deploybench.artifacts.signature import check_consent
from deploybench.artifacts.work import work_of
from deploybench.artifacts.workspace import Workspace, open_workspace
from deploybench.children.processes import allow_children, run_child
from deploybench.contracts import Runner
from deploybench.contracts.registry import (
    recorded_distributions,
    runners,
    runners_of_format,
    unfit_for,
)
from deploybench.contracts.registry import runner as find_runner
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import BUS_ORDER, CPU, read_device
from deploybench.hardware.host import describe_host, usable_cores
from deploybench.hardware.precisions import RUN, check_precision
from deploybench.hardware.roof import Roof, roof_of_device
from deploybench.measure.layers import LayersJob
from deploybench.models.module_work import modules_of
from deploybench.results.explanation import Explained, Explanation
from deploybench.results.layers import LayerProfile
from deploybench.results.record import Bound
from deploybench.telemetry.alone import WaitingForOther, alone_on_this_machine
from deploybench.telemetry.peaks import measured_peaks

CHILD = "deploybench.measure.layers"
SETUP_LIMIT_S = 900.0


@dataclass(frozen=True)
class ExplainRequest:
    """Which artifact is explained, on which runner, and how long it is looked at.

    ``artifact`` is its short name or its folder; None: the one of ``model`` that ``runner`` runs.
    ``against`` is a second one: an artifact, a runner or a precision, of the same model. None of
    ``runner`` and ``precision``: the format's own runner, the artifact's own precision; of
    ``threads``: the usable cores. ``seconds`` of calls are made, for each side. ``trust`` as
    elsewhere: the user answers for artifacts that hold code; ``typed_with_trust`` is what a refusal
    says to type.
    """

    artifact: str | None = None
    model: str | None = None
    runner: str | None = None
    precision: str | None = None
    device: str = CPU
    batch: int = 1
    threads: int | None = None
    against: str | None = None
    seconds: float = 4.0
    trust: bool = False
    typed_with_trust: str = "deploybench explain ARTIFACT --trust"
    workspace: Path | None = None

    def __post_init__(self) -> None:
        if (self.artifact is None) == (self.model is None):
            raise DeployBenchError(
                "an artifact beside --model"
                if self.artifact is not None
                else "nothing to explain: no artifact and no --model",
                expected="one of them",
                action="deploybench explain resnet50/onnx; deploybench list shows the names",
            )
        if self.precision is not None:
            check_precision(self.precision)
        if self.batch < 1:
            raise DeployBenchError(f"a batch of {self.batch}", expected="one image at least")


@dataclass(frozen=True)
class Side:
    """One artifact on one runner."""

    artifact: Artifact
    runner: str
    precision: str


def explain(
    request: ExplainRequest, on_wait: Callable[[WaitingForOther], None] = lambda waiting: None
) -> Explanation:
    """Profile the artifact, and the other one where there is one.

    ``on_wait`` is told of another process that measures on this machine: this one waits for it.
    Raises DeployBenchError where nothing answers to what was asked for, where a runner has no
    profiler, and for code without consent. What a runtime refuses or fails at is in the profile.
    """
    allow_children()
    workspace = open_workspace(request.workspace)
    sides = [_first(request, workspace)]
    if request.against is not None:
        sides.append(_other(sides[0], request.against, request, workspace))
    for side in sides:
        plugin = find_runner(side.runner).require()
        _check(plugin, side, request)
        if request.trust or plugin.runs_code:
            check_consent([side.artifact], trust=request.trust, command=request.typed_with_trust)
    work: tuple[ModuleWork, ...] = ()
    uncounted = ""
    try:
        work = modules_of(sides[0].artifact, trust=request.trust)
    except DeployBenchError as error:
        uncounted = str(error)
    names = _names(workspace, [side.artifact for side in sides])
    threads = request.threads or usable_cores()
    host = describe_host(recorded_distributions())
    peaks = None
    explained = []
    with alone_on_this_machine(on_wait):
        if request.device == CPU:
            peaks = measured_peaks(host, threads)
        roof = roof_of_device(request.device, None, host, peaks)
        for name, side in zip(names, sides, strict=True):
            bound, unbounded = _bound(side, request.batch, roof)
            found = Explained(
                name=name,
                model=_model(side),
                artifact_key=side.artifact.manifest.key,
                runner=side.runner,
                precision=side.precision,
                device=request.device,
                threads=threads,
                batch=request.batch,
                profile=_profile(side, request, threads),
                bound=bound,
                unbounded=unbounded,
            )
            explained.append(found)
    return Explanation(
        created=now(),
        host=host,
        command=command_of(request),
        sides=tuple(explained),
        work=work,
        uncounted=uncounted,
    )


def command_of(request: ExplainRequest) -> str:
    """What is typed to do the same again."""
    words = ["deploybench", "explain"]
    if request.artifact is not None:
        words.append(request.artifact)
    options = (
        ("--model", request.model),
        ("--runner", request.runner),
        ("--precision", request.precision),
        ("--against", request.against),
        ("--threads", request.threads),
        ("--batch", request.batch if request.batch != 1 else None),
        ("--device", request.device if request.device != CPU else None),
        ("--workspace", request.workspace),
    )
    for option, value in options:
        if value is not None:
            words += [option, str(value)]
    if request.trust:
        words.append("--trust")
    return shlex.join(words)


def _first(request: ExplainRequest, workspace: Workspace) -> Side:
    if request.artifact is not None:
        artifact = only_artifact_named(request.artifact, workspace)
        return _side(artifact, request.runner, request.precision, request.device)
    present = [
        artifact
        for artifact in newest_of_each(workspace.artifacts())
        if artifact.manifest.model.name == request.model
    ]
    if request.runner is not None:
        formats = find_runner(request.runner).require().formats
        present = [artifact for artifact in present if artifact.manifest.backend in formats]
    return _side(
        _only(present, f"{request.model} in the workspace {workspace.root}", request.precision),
        request.runner,
        request.precision,
        request.device,
    )


def _only(artifacts: list[Artifact], what: str, precision: str | None) -> Artifact:
    """The one among them; of several, the one that was written in that precision."""
    if len(artifacts) > 1 and precision is not None:
        artifacts = [found for found in artifacts if found.manifest.precision == precision]
    if len(artifacts) == 1:
        return artifacts[0]
    if not artifacts:
        raise DeployBenchError(
            f"no artifact of {what}", action="deploybench list; deploybench export makes one"
        )
    names = ", ".join(sorted(short_names(artifacts)))
    raise DeployBenchError(
        f"there are several artifacts of {what}: {names}",
        expected="one",
        action="name one of them, or its --runner",
    )


def _side(artifact: Artifact, runner: str | None, precision: str | None, device: str) -> Side:
    backend = artifact.manifest.backend
    if runner is None:
        fitting = [entry.require() for entry in runners_of_format(backend)]
        with_profiler = [plugin for plugin in fitting if plugin.profiles_layers]
        if not fitting:
            raise DeployBenchError(f"no runner on this host runs {backend} artifacts")
        plugin = (with_profiler or fitting)[0]
    else:
        plugin = find_runner(runner).require()
    if precision is None:
        precision = plugin.default_precision(artifact.manifest.precision, read_device(device))
    return Side(artifact, plugin.name, precision)


def _other(first: Side, against: str, request: ExplainRequest, workspace: Workspace) -> Side:
    """What ``--against`` means: a precision, a runner, or an artifact."""
    if against in RUN:
        plugin = find_runner(first.runner).require()
        offered = plugin.precisions_on(request.device, first.artifact.manifest.precision)
        if against in offered:
            return Side(first.artifact, first.runner, against)
        written_so = [
            artifact
            for artifact in _relatives(first, workspace)
            if artifact.manifest.precision == against
            and artifact.manifest.backend == first.artifact.manifest.backend
        ]
        artifact = _only(written_so, f"{_model(first)} in {against}", None)
        return Side(artifact, first.runner, against)
    if against in runners():
        plugin = find_runner(against).require()
        if first.artifact.manifest.backend in plugin.formats:
            return _side(first.artifact, against, request.precision, request.device)
        fitting = [
            artifact
            for artifact in _relatives(first, workspace)
            if artifact.manifest.backend in plugin.formats
        ]
        same = [found for found in fitting if found.manifest.precision == first.precision]
        artifact = _only(same or fitting, f"{_model(first)} that {against} runs", None)
        return _side(artifact, against, request.precision, request.device)
    artifact = only_artifact_named(against, workspace)
    if artifact.manifest.model.name != _model(first):
        raise DeployBenchError(
            f"{against} is a {artifact.manifest.model.name}, the other a {_model(first)}",
            expected="two artifacts of one model: their modules are laid side by side",
        )
    return _side(artifact, None, request.precision, request.device)


def _relatives(first: Side, workspace: Workspace) -> list[Artifact]:
    """The other artifacts of the same weights and images."""
    mine = first.artifact.manifest
    return [
        artifact
        for artifact in newest_of_each(workspace.artifacts())
        if artifact.manifest.model.name == mine.model.name
        and artifact.manifest.weights.identity == mine.weights.identity
        and artifact.manifest.preprocessing == mine.preprocessing
    ]


def _model(side: Side) -> str:
    return side.artifact.manifest.model.name


def _check(plugin: Runner, side: Side, request: ExplainRequest) -> None:
    """Refuse, before anything is started, what cannot be explained here."""
    manifest = side.artifact.manifest
    if not plugin.profiles_layers:
        able = [
            entry.name
            for entry in runners().values()
            if entry.plugin is not None and entry.plugin.profiles_layers
        ]
        raise DeployBenchError(
            f"{plugin.name} has no profiler of layers",
            expected=f"one of {', '.join(able)}",
            action="explain another artifact of the model: deploybench list shows them",
        )
    if manifest.backend not in plugin.formats:
        raise DeployBenchError(
            f"{plugin.name} does not run {manifest.backend} artifacts",
            expected=f"an artifact in {', '.join(sorted(plugin.formats))}",
        )
    unfit = unfit_for(plugin, request.device)
    if unfit is not None:
        raise DeployBenchError(unfit)
    offered = plugin.precisions_on(request.device, manifest.precision)
    if side.precision not in offered:
        raise DeployBenchError(
            f"{plugin.name} does not compute a {manifest.precision} artifact in {side.precision}",
            expected=f"one of {', '.join(sorted(offered))}",
        )
    if manifest.batch is not None and manifest.batch != request.batch:
        raise DeployBenchError(
            f"a batch of {request.batch} of an artifact that was exported for {manifest.batch}",
            action=f"--batch {manifest.batch}",
        )
    misfit = plugin.misfit(side.artifact, request.device, request.batch)
    if misfit is not None:
        raise misfit


def _bound(side: Side, batch: int, roof: Roof | None) -> tuple[Bound | None, str]:
    """The least time of a call, or why it is not known."""
    if roof is None:
        return None, "the peaks of this device were not measured"
    work = work_of(side.artifact.manifest)
    if work is None:
        return None, "the model's MACs were not counted"
    try:
        return bound_of(work, roof, precision=side.precision, batch=batch), ""
    except DeployBenchError as error:
        return None, error.found


def _names(workspace: Workspace, artifacts: list[Artifact]) -> list[str]:
    present = workspace.artifacts()
    named = dict(zip([found.path for found in present], short_names(present), strict=True))
    return [named.get(artifact.path, str(artifact.path)) for artifact in artifacts]


def _profile(side: Side, request: ExplainRequest, threads: int) -> LayerProfile:
    job = LayersJob(
        artifact=str(side.artifact.path),
        runner=side.runner,
        device=request.device,
        precision=side.precision,
        batch=request.batch,
        threads=threads,
        seconds=request.seconds,
    )
    outcome = run_child(
        CHILD,
        job.model_dump_json(),
        time_limit_s=SETUP_LIMIT_S,
        environment={
            "OMP_NUM_THREADS": str(threads),
            "MKL_NUM_THREADS": str(threads),
            **BUS_ORDER,
        },
    )
    if outcome.reply is None:
        return LayerProfile(error=outcome.error or "the process said nothing")
    return LayerProfile.model_validate_json(outcome.reply)
