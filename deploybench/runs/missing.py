"""What has to be exported before a run can measure it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import product

from pydantic import ValidationError

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import Runner
from deploybench.contracts.registry import exporters
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.devices import CPU
from deploybench.hardware.gpus import target_of
from deploybench.hardware.host import describe_host, gpu_of
from deploybench.hardware.profile import Profile
from deploybench.plan.cells import Selection, Sizes
from deploybench.plan.selection import runs_on


def missing_exports(
    models: Sequence[str],
    workspace: Workspace,
    selection: Selection,
    sizes: Sizes,
    profile: Profile | None = None,
) -> list[ExportRequest]:
    """What has to be exported before the named models run on the selected runners in the precisions
    asked for.

    A model that is in the workspace in one of the sizes asked for, with certain weights, gets its
    missing formats with the same weights; one that is not there at all is built without weights.
    """
    needed = [
        form
        for form in _needed_forms(selection)
        if profile is None or form.precision in profile.precisions
    ]
    requests = []
    present = workspace.artifacts()
    for model, (image, patch) in product(models, sizes.combinations()):
        one = Sizes((image,) if image else (), (patch,) if patch else ())
        answered = [_request_of(artifact) for artifact in present if one.include(artifact)]
        known = [
            request for request in answered if request is not None and request.model.name == model
        ]
        have = {
            (request.model, _Form(request.backend, request.precision, request.target))
            for request in known
        }
        wanted = [request.model for request in known] or _at_another_size(
            model, present, image, patch
        )
        requests += [
            ExportRequest(
                model=asked, backend=form.backend, precision=form.precision, target=form.target
            )
            for asked in dict.fromkeys(wanted)
            for form in needed
            if (asked, form) not in have
        ]
    return requests


@dataclass(frozen=True)
class _Form:
    """What an artifact has to be: the precision is the artifact's own, ``target`` the GPU of
    formats for one kind."""

    backend: str
    precision: str
    target: str | None


def _needed_forms(selection: Selection) -> list[_Form]:
    """What the selected runners need for the selected precisions on the selected devices."""
    needed = set()
    for entry in selection.runners:
        for device in selection.devices or (CPU,):
            if entry.plugin is None or not runs_on(entry.plugin, [device]):
                continue
            gpu = gpu_of(device, describe_host())
            for backend in entry.plugin.formats & exporters().keys():
                plugin = exporters()[backend].plugin
                target = (
                    target_of(gpu.compute_capability)
                    if gpu and plugin and plugin.takes_target
                    else None
                )
                if (
                    plugin is None
                    or not exporters()[backend].usable
                    or not plugin.builds_for(target)
                ):
                    continue
                for asked in selection.precisions or ("fp32",):
                    precision = _artifact_for(entry.plugin, device, plugin.precisions, asked)
                    needed.add(_Form(backend, precision, target))
    return sorted(needed, key=lambda form: (form.backend, form.precision, form.target or ""))


def _artifact_for(runner: Runner, device: str, written: Collection[str], precision: str) -> str:
    """The precision of the artifact that the runner runs in ``precision``: fp32 where it casts, or
    where nothing fits, which a row then says."""
    fitting = [
        one
        for one in ("fp32", precision)
        if one in written and precision in runner.precisions_on(device, one)
    ]
    return fitting[0] if fitting else "fp32"


def _at_another_size(
    model: str, present: Sequence[Artifact], image: tuple[int, int] | None, patch: int | None
) -> list[ModelRequest]:
    """The model with the weights and classes that it has in the workspace at other sizes, or as it
    is by itself."""
    found = [
        request.model for artifact in present if (request := _request_of(artifact)) is not None
    ]
    elsewhere = [request for request in found if request.name == model] or [
        ModelRequest(name=model)
    ]
    return [request.replaced(image_size=image, patch_size=patch) for request in elsewhere]


def _request_of(artifact: Artifact) -> ExportRequest | None:
    """The request that an artifact answers; None for one that another version of this program
    made."""
    try:
        return ExportRequest.model_validate(artifact.manifest.request)
    except ValidationError:
        return None
