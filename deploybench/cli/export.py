"""``deploybench export``: write verified artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

if TYPE_CHECKING:
    from deploybench.artifacts.workspace import Workspace
    from deploybench.export.pipeline import ExportOptions
    from deploybench.export.request import ExportRequest, ExportResult


@guarded
def export(
    model: Annotated[
        list[str],
        typer.Option(
            "--model", "-m", help="vit, fair, timm:NAME, package.module:factory; repeatable."
        ),
    ],
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", "-b", help="onnx, tensorrt-rtx, …; [default: all that run here]"),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help=".safetensors, .pt or .pth with a state dict.")
    ] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="Load the keys that fit, ignore the others.")
    ] = False,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="timm's pretrained weights (network).")
    ] = False,
    precision: Annotated[
        list[str] | None,
        typer.Option("--precision", help="fp32, tf32, bf16, fp16, int8. [default: fp32]"),
    ] = None,
    batch: Annotated[
        str, typer.Option("--batch", help="A fixed batch size, or dynamic.")
    ] = "dynamic",
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    num_classes: Annotated[int | None, typer.Option("--num-classes", min=1)] = None,
    in_channels: Annotated[int | None, typer.Option("--in-channels", min=1)] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Text file of class names, one line a class.")
    ] = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", help="Write what that hardware can read (opset, IR version, target)."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="The GPU to build plans for: sm86. [default: --profile's, or this host's]",
        ),
    ] = None,
    opset: Annotated[
        int | None, typer.Option("--opset", min=1, help="ONNX opset, from 17.")
    ] = None,
    ir_version: Annotated[
        int | None, typer.Option("--ir-version", min=1, help="ONNX IR version.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Export again although the artifact is there.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="Exports side by side. [default: cores]"),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", help="For each export. [default: 900s]")
    ] = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Export models, verify every artifact against fp32 eager, and write them into the
    workspace."""
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import EXIT_SOME_FAILED, DeployBenchError
    from deploybench.export.pipeline import (
        DEFAULT_TIME_LIMIT_S,
        ExportOptions,
        check_requests,
        default_jobs,
        takes_target,
        usable_backends,
    )
    from deploybench.export.request import ExportRequest, ModelRequest
    from deploybench.hardware.gpus import sm_of, target_of
    from deploybench.hardware.host import usable_cores
    from deploybench.hardware.profile import HOST, load_profile
    from deploybench.report.export_table import export_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    names = parse.model_names(model)
    sizes = parse.sizes(image_size, patch_size)
    if checkpoint is not None and len(names) != 1:
        raise DeployBenchError(
            f"--checkpoint with {len(names)} models", expected="one model a checkpoint"
        )
    if checkpoint is not None and pretrained:
        raise DeployBenchError(
            "--checkpoint and --pretrained together", expected="one source of weights"
        )
    hardware = load_profile(profile) if profile and profile != HOST else None
    readable = hardware.onnx if hardware else None
    capability = hardware.match.compute_capability if hardware else None
    aim = target or (target_of(capability) if capability else None)
    if target is not None:
        sm_of(target)
    named = parse.split_names(backend)
    jobs = jobs or default_jobs()
    requests = [
        ExportRequest(
            model=ModelRequest(
                name=name,
                checkpoint=str(checkpoint.absolute()) if checkpoint else None,
                allow_partial=allow_partial,
                pretrained=pretrained,
                num_classes=num_classes,
                in_channels=in_channels,
                image_size=image,
                patch_size=patch,
                labels=str(labels.absolute()) if labels else None,
            ),
            backend=chosen,
            precision=kind,
            batch=parse.batch_size(batch),
            opset=(opset or (readable.opset if readable else None)) if chosen == "onnx" else None,
            ir_version=(ir_version or (readable.ir_version if readable else None))
            if chosen == "onnx"
            else None,
            threads=max(usable_cores() // jobs, 1),
            target=aim if takes_target(chosen) or (target and named) else None,
        )
        for name, (image, patch) in product(names, sizes.combinations())
        for kind in parse.precisions(precision) or ["fp32"]
        for chosen in named or usable_backends(kind, aim)
    ]
    if target is not None and not any(request.target for request in requests):
        raise DeployBenchError(
            f"--target {target}, and no backend that this host writes by default is for one GPU",
            action="name one: --backend tensorrt-rtx",
        )
    check_requests(requests)
    place = open_workspace(workspace)
    place.prepare()
    options = ExportOptions(
        force=force,
        time_limit_s=parse.seconds(time_limit, "--time-limit")
        if time_limit
        else DEFAULT_TIME_LIMIT_S,
        jobs=jobs,
    )
    results = export_with_progress(requests, place, options)
    print_report(export_report(results), asked)
    if not all(result.ok for result in results):
        raise typer.Exit(EXIT_SOME_FAILED)


def export_with_progress(
    requests: Sequence[ExportRequest], workspace: Workspace, options: ExportOptions
) -> list[ExportResult]:
    """Do the exports behind a progress bar; the results are in the order of the requests."""
    from deploybench.export.pipeline import export_all
    from deploybench.report.console import progress_bar

    results = {}
    with progress_bar() as bar:
        task = bar.add_task("exporting", total=len(requests))

        def start(request: ExportRequest) -> None:
            bar.update(task, description=f"exporting {request.model.name} to {request.backend}")

        for result in export_all(requests, workspace, options, start=start):
            results[requests.index(result.request)] = result
            bar.advance(task)
    return [results[index] for index in sorted(results)]
