"""What has to be exported before a run can measure it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import Exporter, Runner
from deploybench.contracts.registry import exporters
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.devices import CPU
from deploybench.hardware.gpus import target_of
from deploybench.hardware.host import describe_host, gpu_of
from deploybench.hardware.precisions import arithmetic
from deploybench.hardware.profile import Profile
from deploybench.plan.cells import Selection, Sizes
from deploybench.plan.selection import runs_on

FP32 = "fp32"
"""The precision that runners cast from, and the one that an artifact has when none is named."""


def missing_exports(
    models: Sequence[str],
    workspace: Workspace,
    selection: Selection,
    sizes: Sizes,
    profile: Profile | None = None,
) -> list[ExportRequest]:
    """What has to be exported before the named models run on the selected runners.

    A model that is in the workspace in one of the sizes asked for, with certain weights, gets its
    missing formats with the same weights; one that is not there at all is built without weights.
    Precisions that the profile does not compute in are left out.
    """
    needed = _needed_forms(selection)
    if profile is not None:
        needed = [form for form in needed if arithmetic(form.precision) in profile.precisions]
    present = workspace.artifacts()
    adopted = {one.manifest.model.name for one in present if one.manifest.adopted is not None}
    requests = []
    models = [model for model in models if model not in adopted]  # nothing can build them
    for model, (image, patch) in product(models, sizes.combinations()):
        artifacts = [artifact for artifact in present if _has_size(artifact, image, patch)]
        of_that_size = _requests_of(model, artifacts)
        exported = {(request.model, _form_of(request)) for request in of_that_size}
        wanted = [request.model for request in of_that_size]
        if not wanted:
            wanted = _at_another_size(model, present, image, patch)
        for model_request, form in product(dict.fromkeys(wanted), needed):
            if (model_request, form) not in exported:
                requests.append(_request_for(model_request, form))
    return requests


def exports_for(models: Sequence[ModelRequest], selection: Selection) -> list[ExportRequest]:
    """Every export of the models that the selected runners need, whatever was exported before."""
    needed = _needed_forms(selection)
    return [_request_for(model, form) for model, form in product(models, needed)]


@dataclass(frozen=True)
class _Form:
    """What an artifact has to be.

    ``precision`` is the artifact's own; ``target`` the kind of GPU, for formats that fit one only.
    """

    backend: str
    precision: str
    target: str | None


def _form_of(request: ExportRequest) -> _Form:
    return _Form(request.backend, request.precision, request.target)


def _request_for(model: ModelRequest, form: _Form) -> ExportRequest:
    return ExportRequest(
        model=model, backend=form.backend, precision=form.precision, target=form.target
    )


def _needed_forms(selection: Selection) -> list[_Form]:
    """What the selected runners need for the selected precisions on the selected devices."""
    needed: set[_Form] = set()
    for entry in selection.runners:
        runner = entry.plugin
        if runner is None:
            continue
        for device in selection.devices or (CPU,):
            if runs_on(runner, [device]):
                needed |= _forms_for(runner, device, selection.precisions or (FP32,))
    return sorted(needed, key=lambda form: (form.backend, form.precision, form.target or ""))


def _forms_for(runner: Runner, device: str, precisions: Sequence[str]) -> set[_Form]:
    """What this host can export for the runner to compute in the precisions on the device."""
    forms = set()
    for backend in runner.formats & exporters().keys():
        entry = exporters()[backend]
        exporter = entry.plugin
        if exporter is None or not entry.usable:
            continue
        target = _target_for(exporter, device)
        if not exporter.builds_for(target):
            continue
        for precision in precisions:
            stored = _artifact_for(runner, device, exporter.precisions, precision)
            forms.add(_Form(backend, stored, target))
    return forms


def _target_for(exporter: Exporter, device: str) -> str | None:
    """The kind of GPU that the device is, where the exporter builds for one kind."""
    if not exporter.takes_target:
        return None
    gpu = gpu_of(device, describe_host())
    if gpu is None:
        return None
    return target_of(gpu.compute_capability)


def _artifact_for(runner: Runner, device: str, written: Collection[str], precision: str) -> str:
    """The precision of the artifact that the runner runs in ``precision``.

    That is fp32 where the runner casts, and also where nothing fits: a row then says so.
    """
    for stored in (FP32, precision):
        if stored in written and precision in runner.precisions_on(device, stored):
            return stored
    return FP32


def _has_size(artifact: Artifact, image: tuple[int, int] | None, patch: int | None) -> bool:
    """Whether the artifact has that image size and that patch size; None stands for any."""
    images = () if image is None else (image,)
    patches = () if patch is None else (patch,)
    return Sizes(images, patches).include(artifact)


def _at_another_size(
    model: str, present: Sequence[Artifact], image: tuple[int, int] | None, patch: int | None
) -> list[ModelRequest]:
    """The model with the weights and classes that the workspace has of it at other sizes.

    Without any of those, the model as its source builds it.
    """
    elsewhere = [request.model for request in _requests_of(model, present)]
    if not elsewhere:
        elsewhere = [ModelRequest(name=model)]
    return [request.replaced(image_size=image, patch_size=patch) for request in elsewhere]


def _requests_of(model: str, artifacts: Sequence[Artifact]) -> list[ExportRequest]:
    """The requests for the model that the artifacts answer.

    An artifact that another version of this program made may hold one that no longer reads; it is
    passed over.
    """
    requests = []
    for artifact in artifacts:
        try:
            request = ExportRequest.model_validate(artifact.manifest.request)
        except ValidationError:
            continue
        if request.model.name == model:
            requests.append(request)
    return requests
