"""``deploybench models``: the names that ``--model`` takes, and what one of them is made of."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded

app = typer.Typer(
    help="List the models, or show one: deploybench models show vit.", rich_markup_mode=None
)
GIGA = 1e9


@app.callback(invoke_without_command=True)
@guarded
def models(
    context: typer.Context,
    timm: Annotated[
        str | None, typer.Option("--timm", help="List timm's names that match a pattern: 'vit_*'.")
    ] = None,
    json: parse.JsonOption = False,
) -> None:
    """List the models: short names with their size, or timm's names."""
    from deploybench.models.zoo import BAND_CLASSES, COMPARED_SIZE, GROUPS, ZOO, in_band, zoo_counts
    from deploybench.report.console import output_console
    from deploybench.report.tables import print_json, print_table

    if context.invoked_subcommand is not None:
        return
    if timm is not None:
        from deploybench.models.timm_source import list_timm

        names = [f"timm:{name}" for name in list_timm(timm)]
        print_json({"models": names}) if json else typer.echo("\n".join(names))
        return
    counts = zoo_counts()
    rows: list[dict[str, Any]] = [
        {
            "model": name,
            "family": entry.family,
            "image_size": entry.image_size,
            "parameters": counts[name]["parameters"],
            "macs": counts[name]["macs"],
            f"macs_{COMPARED_SIZE}": counts[name][f"macs_{COMPARED_SIZE}"],
            "in_band": in_band(counts[name]["parameters"]),
            "fixed_size": entry.fixed_size,
        }
        for name, entry in ZOO.items()
    ]
    if json:
        print_json(
            {"models": rows, "groups": {name: list(members) for name, members in GROUPS.items()}}
        )
        return
    titles = ["model", "family", "px", "M params", "GMAC", f"GMAC@{COMPARED_SIZE}", "25 M ± 5 %"]
    texts = [
        [
            str(row["model"]),
            str(row["family"]),
            f"{row['image_size']}{'!' if row['fixed_size'] else ''}",
            f"{row['parameters'] / 1e6:.2f}",
            f"{row['macs'] / GIGA:.2f}",
            f"{row[f'macs_{COMPARED_SIZE}'] / GIGA:.2f}",
            "yes" if row["in_band"] else "no",
        ]
        for row in rows
    ]
    console = output_console()
    print_table(titles, texts, console)
    console.print(
        f"parameters with {BAND_CLASSES} classes; !: the weights belong to one image size\n"
        + "\n".join(
            f"{name}: {', '.join(members)}" for name, members in GROUPS.items() if name != "zoo"
        )
        + "\nzoo: all of them; also: timm:NAME (deploybench models --timm 'vit_*'), "
        "package.module:factory",
        style="dim",
    )


@app.command("show")
@guarded
def show(
    name: Annotated[str, typer.Argument(help="Any name that --model takes.")],
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    num_classes: Annotated[int | None, typer.Option("--num-classes", min=1)] = None,
    json: parse.JsonOption = False,
) -> None:
    """Build one model and show its parameters and MACs by kind, at each size asked for."""
    from deploybench.errors import DeployBenchError
    from deploybench.export.pipeline import check_model_names
    from deploybench.models.counting import count_model
    from deploybench.models.source import BuildOptions, expand_groups
    from deploybench.report.console import output_console
    from deploybench.report.model_table import count_row, print_model
    from deploybench.report.tables import print_json

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
    if json:
        print_json({"model": name, "counts": [count_row(count) for count in counts]})
    else:
        print_model(name, counts, output_console())
