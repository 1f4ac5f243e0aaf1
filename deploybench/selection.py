"""Which runners, which devices, which artifacts and which missing exports a run is about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from pydantic import ValidationError

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, exporters, runner, runners
from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.devices import CPU, kind_of, numbered
from deploybench.hardware.gpus import target_of
from deploybench.hardware.host import Host, check_present, describe_host, gpu_of
from deploybench.hardware.profile import HOST, Profile, gpu_fits
from deploybench.plan import Selection, Sizes, newest_of_each


def select_runners(names: Sequence[str], devices: Sequence[str] = (CPU,)) -> list[Entry[Runner]]:
    """The named runners, usable or not; without names every usable one that has one of ``devices``.

    PyTorch eager comes first. Raises DeployBenchError where there is none, or none of the named ones is usable: with
    the cause and the remedy of the first.
    """
    if names:
        chosen = [runner(name) for name in names]
        for entry in chosen:
            if entry.plugin is None:
                entry.require()
        if not any(entry.usable for entry in chosen):
            chosen[0].require()
        return chosen
    usable = [entry for entry in runners().values() if entry.usable and _has_any(entry.plugin, devices)]
    if not usable:
        raise DeployBenchError(
            f"no runner works on {' or '.join(devices)} of this host",
            action='pip install "deploybench[cpu]"; deploybench doctor says more',
        )
    return sorted(usable, key=lambda entry: entry.name != "pytorch")


def select_devices(asked: Sequence[str], profile: Profile | None, host: Host) -> list[str]:
    """The devices of a run: those asked for, else the first that the profile names, else the CPU.

    Raises DeployBenchError for a device that this host does not have, or that is not what the profile names.
    """
    if profile is None or profile.device == CPU:
        check_present(asked, host)
        others = [device for device in asked if device != CPU]
        if profile is not None and others:
            raise DeployBenchError(
                f"--device {others[0]} with --profile {profile.name}, which is a CPU",
                expected="--device cpu, or the profile of the GPU",
                action=f"measure the GPU of this machine with --profile {HOST} --device {others[0]}",
            )
        return list(asked) or [CPU]
    fitting = [numbered(index) for index, gpu in enumerate(host.gpus) if gpu_fits(profile, gpu)]
    for device in asked:
        if device not in fitting:
            raise DeployBenchError(
                f"--device {device} with --profile {profile.name}",
                expected=f"{profile.title}, here {' or '.join(fitting)}",
                action=f"leave --device out, or measure with --profile {HOST} --device {device}",
            )
    return list(asked) or fitting[:1]


def select_artifacts(
    workspace: Workspace, models: Sequence[str], paths: Sequence[Path], sizes: Sizes, *, explained: bool
) -> list[Artifact]:
    """The named artifacts, or the newest of each kind in the workspace, of the named models and sizes if any.

    Raises DeployBenchError when there is nothing to run, unless other rows have ``explained`` that.
    """
    if paths:
        if sizes != Sizes():
            raise DeployBenchError(
                "--image-size and --patch-size beside --artifact",
                expected="sizes choose among the artifacts of a model",
            )
        return [open_artifact(path) for path in paths]
    found = [artifact for artifact in newest_of_each(workspace.artifacts()) if sizes.include(artifact)]
    if models:
        wanted = [artifact for artifact in found if artifact.manifest.model.name in models]
        found = sorted(wanted, key=lambda artifact: models.index(artifact.manifest.model.name))
    if not found and not explained:
        of_models = f" of {', '.join(models)}" if models else ""
        of_that_size = " in that size" if sizes != Sizes() else ""
        raise DeployBenchError(
            f"the workspace {workspace.root} holds no artifact{of_models}{of_that_size} to run",
            action="deploybench export --model NAME, or deploybench run --model NAME, with the same sizes",
        )
    return sorted(found, key=lambda artifact: _model_order(artifact, found))


def nothing_to_run(artifacts: Sequence[Artifact], selection: Selection) -> DeployBenchError:
    """The refusal of a selection in which no runner takes any artifact."""
    formats = sorted({artifact.manifest.backend for artifact in artifacts})
    names = ", ".join(entry.name for entry in selection.runners)
    wanted = sorted({name for entry in selection.runners if entry.plugin for name in entry.plugin.formats})
    return DeployBenchError(
        f"the artifacts are in {', '.join(formats)}, and {names} runs none of that",
        expected=f"artifacts in {', '.join(wanted)}",
        action="deploybench run --model NAME exports what is missing",
    )


def missing_exports(
    models: Sequence[str], workspace: Workspace, selection: Selection, sizes: Sizes, profile: Profile | None = None
) -> list[ExportRequest]:
    """What has to be exported before the named models run on the selected runners in the precisions asked for.

    A model that is in the workspace in one of the sizes asked for, with certain weights, gets its missing
    formats with the same weights; one that is not there at all is built without weights.
    """
    needed = [form for form in _needed_forms(selection) if profile is None or form.precision in profile.precisions]
    requests = []
    present = workspace.artifacts()
    for model, (image, patch) in product(models, sizes.combinations()):
        one = Sizes((image,) if image else (), (patch,) if patch else ())
        answered = [_request_of(artifact) for artifact in present if one.include(artifact)]
        known = [request for request in answered if request is not None and request.model.name == model]
        have = {(request.model, _Form(request.backend, request.precision, request.target)) for request in known}
        wanted = [request.model for request in known] or _at_another_size(model, present, image, patch)
        requests += [
            ExportRequest(model=asked, backend=form.backend, precision=form.precision, target=form.target)
            for asked in dict.fromkeys(wanted)
            for form in needed
            if (asked, form) not in have
        ]
    return requests


@dataclass(frozen=True)
class _Form:
    """What an artifact has to be: the precision is the artifact's own, ``target`` the GPU of formats for one kind."""

    backend: str
    precision: str
    target: str | None


def _needed_forms(selection: Selection) -> list[_Form]:
    """What the selected runners need for the selected precisions on the selected devices."""
    needed = set()
    for entry in selection.runners:
        for device in selection.devices or (CPU,):
            if entry.plugin is None or not _has_any(entry.plugin, [device]):
                continue
            gpu = gpu_of(device, describe_host())
            for backend in entry.plugin.formats & exporters().keys():
                plugin = exporters()[backend].plugin
                target = target_of(gpu.compute_capability) if gpu and plugin and plugin.takes_target else None
                if plugin is None or not exporters()[backend].usable or not plugin.builds_for(target):
                    continue
                for asked in selection.precisions or ("fp32",):
                    precision = _artifact_for(entry.plugin, device, plugin.precisions, asked)
                    needed.add(_Form(backend, precision, target))
    return sorted(needed, key=lambda form: (form.backend, form.precision, form.target or ""))


def _artifact_for(runner: Runner, device: str, written: Collection[str], precision: str) -> str:
    """The precision of the artifact that the runner runs in ``precision``: fp32 where it casts, or where nothing fits,
    which a row then says."""
    fitting = [one for one in ("fp32", precision) if one in written and precision in runner.precisions_on(device, one)]
    return fitting[0] if fitting else "fp32"


def _has_any(runner: Runner | None, devices: Sequence[str]) -> bool:
    return runner is not None and any(kind_of(device) in runner.devices for device in devices)


def _at_another_size(
    model: str, present: Sequence[Artifact], image: tuple[int, int] | None, patch: int | None
) -> list[ModelRequest]:
    """The model with the weights and classes that it has in the workspace at other sizes, or as it is by itself."""
    found = [request.model for artifact in present if (request := _request_of(artifact)) is not None]
    elsewhere = [request for request in found if request.name == model] or [ModelRequest(name=model)]
    return [request.model_copy(update={"image_size": image, "patch_size": patch}) for request in elsewhere]


def _request_of(artifact: Artifact) -> ExportRequest | None:
    """The request that an artifact answers; None for one that another version of this program made."""
    try:
        return ExportRequest.model_validate(artifact.manifest.request)
    except ValidationError:
        return None


def _model_order(artifact: Artifact, found: Sequence[Artifact]) -> int:
    """Artifacts of one model with one set of weights stay together, in the order of first appearance."""
    identity = (artifact.manifest.model.name, artifact.manifest.weights.sha256)
    return next(i for i, a in enumerate(found) if (a.manifest.model.name, a.manifest.weights.sha256) == identity)
