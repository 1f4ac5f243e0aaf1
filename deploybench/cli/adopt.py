"""``deploybench adopt``: a file that was exported elsewhere becomes an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from deploybench.cli import parse
from deploybench.cli import preprocessing as preparing
from deploybench.cli.guard import guarded
from deploybench.errors import DeployBenchError

LAYOUTS: tuple[Literal["nchw", "nhwc"], ...] = ("nchw", "nhwc")


@guarded
def adopt(
    file: Annotated[
        Path,
        typer.Argument(help=".onnx, .xml with .bin beside it, TorchScript (.pt, .ts), or .pt2."),
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name here. [default: the file's]")
    ] = None,
    reference: Annotated[
        str,
        typer.Option(
            "--reference",
            help="Whose answers it is held to: self, a runner (openvino), or FILE.npz with inputs "
            "and outputs.",
        ),
    ] = "self",
    preprocessing: Annotated[
        Path | None,
        typer.Option(
            "--preprocessing",
            help="How images are prepared: mean and std in JSON, a manifest.json, timm's "
            "config.json, preprocessor_config.json.",
        ),
    ] = None,
    mean: preparing.MeanOption = None,
    std: preparing.StdOption = None,
    value_range: Annotated[
        str | None,
        typer.Option(
            "--value-range",
            help="Instead of mean and std: what black and white are to the model: 0,255.",
        ),
    ] = None,
    interpolation: preparing.InterpolationOption = None,
    crop: preparing.CropOption = None,
    resize_mode: preparing.ResizeModeOption = None,
    color: preparing.ColorOption = None,
    window: preparing.WindowOption = None,
    levels: preparing.LevelsOption = None,
    background: preparing.BackgroundOption = None,
    keep_orientation: preparing.KeepOrientationOption = False,
    layout: Annotated[
        str | None,
        typer.Option("--layout", help="nchw or nhwc. [default: told from the input's shape]"),
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option("--image-size", help="Pixels, where the file leaves them free: 224, 224x320."),
    ] = None,
    in_channels: Annotated[int | None, typer.Option("--in-channels", min=1)] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            help="fp32, bf16, fp16, int8, int8-weights. [default: as the weights are, by the file]",
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            help="Of several outputs: keep these, the main one first; repeatable. [default: all]",
        ),
    ] = None,
    task: parse.TaskOption = None,
    class_names: Annotated[
        Path | None,
        typer.Option(
            "--class-names", "--labels", help="Text file of class names, one line a class."
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="Open a file that holds code: you know where it comes from."),
    ] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", help="Convert it as well, as another artifact: openvino, of ONNX."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Adopt again although the artifact is there.")
    ] = False,
    time_limit: Annotated[str | None, typer.Option("--time-limit", help="[default: 900s]")] = None,
    workspace: parse.WorkspaceOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Make an artifact of a file that was exported elsewhere: ONNX, OpenVINO, TorchScript or
    torch.export."""
    from deploybench.cli.typed import typed_with
    from deploybench.errors import EXIT_SOME_FAILED
    from deploybench.export.adoption import AdoptOrder
    from deploybench.export.adoption import adopt as adopted
    from deploybench.export.pipeline import DEFAULT_TIME_LIMIT_S
    from deploybench.report.export_table import export_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    time_limit_s = DEFAULT_TIME_LIMIT_S
    if time_limit is not None:
        time_limit_s = parse.seconds(time_limit, "--time-limit")
    order = AdoptOrder(
        file=file,
        name=name,
        reference=reference,
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
        preprocessing_file=preprocessing,
        value_range=_value_range(value_range),
        layout=None if layout is None else parse.choice(layout.lower(), "--layout", LAYOUTS),
        image_size=parse.one_image_size(image_size),
        in_channels=in_channels,
        precision=precision,
        outputs=parse.split_names(output),
        task=task,
        class_names=class_names,
        trust=trust,
        to=to,
        force=force,
        time_limit_s=time_limit_s,
        workspace=workspace,
        typed_with_trust=typed_with("--trust"),
    )
    results = adopted(order)
    print_report(export_report(results), asked)
    if not all(result.ok for result in results):
        raise typer.Exit(EXIT_SOME_FAILED)


def _value_range(text: str | None) -> tuple[float, float] | None:
    """``0,255`` as two numbers."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 2:
        raise DeployBenchError(
            f"--value-range {text}",
            expected="two numbers, black and white: 0,255 or --value-range=-1,1",
        )
    return numbers[0], numbers[1]
