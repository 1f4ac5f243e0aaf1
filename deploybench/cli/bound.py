"""``deploybench bound``: the least latency on hardware that is not at hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

if TYPE_CHECKING:
    from deploybench.artifacts.artifact import Artifact, Manifest
    from deploybench.plan.cells import Sizes


@guarded
def bound(
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="vit, fair, timm:NAME, …; repeatable.")
    ],
    profile: Annotated[
        list[str], typer.Option("--profile", "-p", help="rtx3090, k80, …, FILE.toml; repeatable.")
    ],
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", help="[default: all that the profile has a peak for]"),
    ] = None,
    batch: Annotated[str, typer.Option("--batch", help="Batch sizes: 1,8,32.")] = "1",
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    num_classes: parse.NumClassesOption = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Compute a lower bound on the latency from MACs, bytes and a profile's peaks.

    Nothing is measured. The image size is that of the model's artifacts in the workspace, where it
    holds some and no size is asked for; else the model's own.
    """
    from deploybench.analysis.bounds import bound_of
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import DeployBenchError
    from deploybench.export.pipeline import check_model_names
    from deploybench.hardware.profile import HOST, load_profile
    from deploybench.hardware.roof import profile_roof
    from deploybench.models.counting import count_model
    from deploybench.models.source import BuildOptions
    from deploybench.report.bound_table import BoundRow, bound_table
    from deploybench.report.printing import print_report
    from deploybench.report.table import Report

    asked = parse.output_format(table_format, json=json)
    names = parse.split_names(profile)
    if HOST in names:
        raise DeployBenchError(
            "--profile host has no figures that were not measured",
            action="write them down: deploybench profiles new mine, then --profile mine.toml",
        )
    profiles = [load_profile(name) for name in names]
    precisions = parse.precisions(precision)
    for target in profiles:
        if precisions and not target.peaks.tflops.keys() & set(precisions):
            raise DeployBenchError(
                f"{target.name} has no {' or '.join(precisions)} arithmetic",
                expected=f"one of {', '.join(target.peaks.tflops)}",
            )
    batches = parse.positive_numbers(batch, "--batch")
    models = parse.model_names(model)
    check_model_names(models)
    rows = []
    held = open_workspace(workspace).artifacts()
    sizes = parse.sizes(image_size, patch_size)
    sized = [(name, size) for name in models for size in asked_or_held(sizes, name, held)]
    for name, (image, patch) in sized:
        count = count_model(
            name, BuildOptions(num_classes=num_classes, image_size=image, patch_size=patch)
        )
        for target in profiles:
            kinds = [
                kind for kind in precisions or target.peaks.tflops if kind in target.peaks.tflops
            ]
            for kind, size in product(kinds, batches):
                found = bound_of(count.work, profile_roof(target), precision=kind, batch=size)
                rows.append(BoundRow(name, count, found))
    print_report(Report((bound_table(rows),)), asked)


def asked_or_held(
    asked: Sizes, model: str, artifacts: Sequence[Artifact]
) -> list[tuple[tuple[int, int] | None, int | None]]:
    """The image and patch sizes to look at: those asked for, else those of the model's
    ``artifacts``, else its own (None)."""
    if asked.images or asked.patches:
        return list(asked.combinations())
    shapes = [artifact.manifest for artifact in artifacts if artifact.manifest.model.name == model]
    held = {
        ((shape.preprocessing.height, shape.preprocessing.width), _patch_asked_for(shape))
        for shape in shapes
    }
    return sorted(held, key=str) or [(None, None)]


def _patch_asked_for(manifest: Manifest) -> int | None:
    """The patch size that an artifact was asked to have; None where it is the model's own."""
    patch = manifest.model.arguments.get("patch_size")
    return None if patch is None else int(patch)
