"""``deploybench export``: write verified artifacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli import preprocessing as preparing
from deploybench.cli.acceptance import AcceptByOption, MaxAccuracyDropOption, accepted_drop
from deploybench.cli.guard import guarded

if TYPE_CHECKING:
    from deploybench.contracts import OptionValue


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
        Path | None,
        typer.Option(help=".safetensors, .pt or .pth with a state dict, or a folder with one."),
    ] = None,
    checkpoint_key: Annotated[
        str | None,
        typer.Option(
            "--checkpoint-key",
            help="Which state of it: state_dict_ema, teacher. [default: a moving average first]",
        ),
    ] = None,
    allow_partial: Annotated[
        bool,
        typer.Option("--allow-partial", help="Load the keys that fit, leave the others random."),
    ] = False,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="timm's pretrained weights (network).")
    ] = False,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            help="fp32, tf32, bf16, fp16, int8, int8-mixed, int8-weights. [default: fp32]",
        ),
    ] = None,
    batch: Annotated[
        str, typer.Option("--batch", help="A fixed batch size, or dynamic.")
    ] = "dynamic",
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    num_classes: parse.NumClassesOption = None,
    in_channels: parse.InChannelsOption = None,
    mean: preparing.MeanOption = None,
    std: preparing.StdOption = None,
    interpolation: preparing.InterpolationOption = None,
    crop: preparing.CropOption = None,
    resize_mode: preparing.ResizeModeOption = None,
    color: preparing.ColorOption = None,
    window: preparing.WindowOption = None,
    levels: preparing.LevelsOption = None,
    background: preparing.BackgroundOption = None,
    keep_orientation: preparing.KeepOrientationOption = False,
    batchnorm_epsilon: parse.BatchnormEpsilonOption = None,
    reference_images: Annotated[
        list[Path] | None,
        typer.Option(
            "--reference-images",
            help="Images of your own, or a folder of them, to verify on as well; repeatable.",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Text file of class names, one line a class.")
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            help="Of several outputs: export these, the main one first; repeatable. [default: all]",
        ),
    ] = None,
    task: parse.TaskOption = None,
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
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="An option of an exporter's own: opset=17; repeatable."),
    ] = None,
    accept_by: AcceptByOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            help="Of int8: a folder of images to find the ranges on, or synthetic for noise.",
        ),
    ] = None,
    calibration_images: Annotated[
        int | None,
        typer.Option("--calibration-images", min=1, help="So many of them. [default: 128]"),
    ] = None,
    calibration_seed: Annotated[
        int | None, typer.Option("--calibration-seed", min=0, help="Which of them. [default: 1]")
    ] = None,
    keep_fp32: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-fp32",
            help="Layers that stay in float in int8: layer4, *.fc; repeatable. auto: as few of the "
            "most sensitive as it takes; auto:99%: until so many images have the same class; none. "
            "[default: auto where parity fails]",
        ),
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
    from deploybench.cli.progress import Progress
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.export.order import ExportOrder, export_models
    from deploybench.hardware.profile import HOST
    from deploybench.report.export_table import export_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    sizes = parse.sizes(image_size, patch_size)
    order = ExportOrder(
        models=parse.model_names(model),
        backends=parse.split_names(backend),
        precisions=parse.precisions(precision, written=True) or ["fp32"],
        batch=parse.batch_size(batch),
        image_sizes=sizes.images,
        patch_sizes=sizes.patches,
        checkpoint=checkpoint,
        checkpoint_key=checkpoint_key,
        allow_partial=allow_partial,
        pretrained=pretrained,
        num_classes=num_classes,
        in_channels=in_channels,
        preprocessing=preparing.preprocessing_options(
            mean=mean,
            std=std,
            interpolation=interpolation,
            crop=crop,
            resize_mode=resize_mode,
            color=color,
            window=window,
            levels=levels,
            background=background,
            keep_orientation=keep_orientation,
        ),
        batchnorm_epsilon=batchnorm_epsilon,
        reference_images=reference_images or (),
        labels=labels,
        outputs=parse.split_names(output),
        task=task,
        profile=profile or HOST,
        target=target,
        options=_asked_options(option, {"opset": opset, "ir_version": ir_version}),
        max_accuracy_drop=accepted_drop(accept_by, max_accuracy_drop),
        calibration=calibration,
        calibration_images=calibration_images,
        calibration_seed=calibration_seed,
        keep_fp32=keep_fp32 or (),
        force=force,
        jobs=jobs,
        time_limit_s=_time_limit_s(time_limit),
        workspace=workspace,
    )
    with Progress() as progress:
        results = export_models(order, progress.tell)
    print_report(export_report(results), asked)
    if not all(result.ok for result in results):
        raise typer.Exit(EXIT_SOME_FAILED)


def _time_limit_s(text: str | None) -> float:
    """The time limit of each export: that asked for, else the usual one."""
    from deploybench.export.pipeline import DEFAULT_TIME_LIMIT_S

    if not text:
        return DEFAULT_TIME_LIMIT_S
    return parse.seconds(text, "--time-limit")


def _asked_options(
    texts: Sequence[str] | None, flags: Mapping[str, int | None]
) -> dict[str, OptionValue]:
    """The exporters' options that were asked for, by name: as NAME=VALUE, or by their own flags."""
    from deploybench.errors import DeployBenchError

    asked: dict[str, OptionValue] = {
        name: value for name, value in flags.items() if value is not None
    }
    for text in texts or ():
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise DeployBenchError(f"--option {text}", expected="NAME=VALUE, as opset=17")
        asked[name] = value
    return asked
