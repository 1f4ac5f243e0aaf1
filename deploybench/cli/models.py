"""``deploybench models``: the names that ``--model`` takes."""

from __future__ import annotations

from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def models(
    timm: Annotated[str | None, typer.Option("--timm", help="List timm's names that match a pattern: 'vit_*'.")] = None,
    count: Annotated[
        bool, typer.Option("--count", help="Build each model and count its parameters and MACs (slower).")
    ] = False,
    json: parse.JsonOption = False,
) -> None:
    """List the models: short names, or timm's."""
    from deploybench.models.zoo import ZOO
    from deploybench.report.console import output_console
    from deploybench.report.tables import print_json, print_table

    if timm is not None:
        from deploybench.models.timm_source import list_timm

        names = [f"timm:{name}" for name in list_timm(timm)]
        print_json({"models": names}) if json else typer.echo("\n".join(names))
        return
    rows = []
    for name, entry in ZOO.items():
        row: dict[str, object] = {
            "model": name,
            "family": entry.family,
            "image_size": entry.image_size,
            "architecture": f"timm:{entry.architecture}",
            "changes": ", ".join(f"{key}={value}" for key, value in entry.arguments.items()),
        }
        if count:
            from deploybench.models.counting import count_model

            row |= count_model(name)
        rows.append(row)
    if json:
        print_json(rows)
        return
    columns = ["model", "family", "image_size", *(["parameters", "macs"] if count else []), "architecture", "changes"]
    texts = [[f"{row[c]:,}" if isinstance(row[c], int) else str(row[c]) for c in columns] for row in rows]
    console = output_console()
    print_table(columns, texts, console)
    console.print("also: timm:NAME (deploybench models --timm 'vit_*'), package.module:factory", style="dim")
