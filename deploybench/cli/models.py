"""``deploybench models``: the names that ``--model`` takes, and what one of them is made of."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

app = typer.Typer(
    help="List the models, or show one: deploybench models show vit.", rich_markup_mode=None
)


@app.callback(invoke_without_command=True)
@guarded
def models(
    context: typer.Context,
    timm: Annotated[
        str | None, typer.Option("--timm", help="List timm's names that match a pattern: 'vit_*'.")
    ] = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """List the models: short names with their size, or timm's names."""
    from deploybench.report.model_table import model_rows, models_report, timm_report
    from deploybench.report.printing import print_report

    if context.invoked_subcommand is not None:
        return
    asked = parse.output_format(table_format, json=json)
    if timm is None:
        print_report(models_report(model_rows()), asked)
        return
    from deploybench.models.timm_source import list_timm

    print_report(timm_report([f"timm:{name}" for name in list_timm(timm)]), asked)


@app.command("show")
@guarded
def show(
    name: Annotated[str, typer.Argument(help="Any name that --model takes.")],
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    num_classes: parse.NumClassesOption = None,
    table_format: parse.FormatOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Build one model and show its parameters and MACs by kind, at each size asked for."""
    from deploybench.errors import DeployBenchError
    from deploybench.export.pipeline import check_model_names
    from deploybench.models.counting import count_model
    from deploybench.models.source import BuildOptions, expand_groups
    from deploybench.report.model_table import model_report
    from deploybench.report.printing import print_report

    asked = parse.output_format(table_format, json=json)
    names = expand_groups([name])
    if names != [name]:
        raise DeployBenchError(
            f"'{name}' is a group of models", expected=f"one of {', '.join(names)}"
        )
    check_model_names([name])
    sizes = parse.sizes(image_size, patch_size)
    counts = [
        count_model(name, BuildOptions(num_classes=num_classes, image_size=image, patch_size=patch))
        for image, patch in sizes.combinations()
    ]
    print_report(model_report(name, counts), asked)
