"""``deploybench env``: an interpreter for each stack of backends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say, say_aside

app = typer.Typer(
    no_args_is_help=True,
    help="Make environments for backends that cannot be installed together, list and remove them.",
)


@app.command("create")
@guarded
def create(
    name: Annotated[
        str,
        typer.Argument(
            help="A stack that is known: tensorrt85, onnxruntime114, cuda13, cpu; or any."
        ),
    ],
    requirements: Annotated[
        Path | None, typer.Option("--requirements", help="A file of pins, as pip takes it.")
    ] = None,
    package: Annotated[
        list[str] | None,
        typer.Option("--package", help="Repeatable: onnxruntime==1.16.3. Beside a file, or alone."),
    ] = None,
    python: Annotated[
        str | None,
        typer.Option("--python", help="A version or a path. [default: what the stack needs]"),
    ] = None,
) -> None:
    """Make an environment with the pins of a stack; run --environment NAME measures in it."""
    from deploybench.stacks.creating import StackRequest, create_stack

    say_aside(f"installing {name}; this may take minutes and gigabytes")
    stack = create_stack(StackRequest(name, requirements, package or (), python))
    usable = [runner for runner, told in stack.runners.items() if told.problem is None]
    size_mib = stack.size_bytes / 2**20
    say(f"{stack.folder}: Python {stack.python}, {size_mib:.0f} MiB")
    say(f"runners that work in it: {', '.join(usable) or 'none'}")
    say(f"measure in it: deploybench run --environment present,{name}")


@app.command("list")
@guarded
def list_environments(json: parse.JsonOption = False) -> None:
    """List the environments, what they hold, and which runners work in them."""
    from deploybench.report.environment_table import EnvironmentRow, environments_report
    from deploybench.report.printing import print_report
    from deploybench.stacks.stack import find_stack, stack_names

    rows = []
    for name in stack_names():
        stack = find_stack(name)
        usable = tuple(runner for runner, told in stack.runners.items() if told.problem is None)
        rows.append(
            EnvironmentRow(
                name, stack.python, stack.source, usable, stack.size_bytes, stack.created
            )
        )
    print_report(environments_report(rows), parse.output_format(None, json=json))


@app.command("remove")
@guarded
def remove(
    name: Annotated[list[str], typer.Argument(help="Environments to remove.")],
) -> None:
    """Remove environments with all that is installed in them; records that name them stay."""
    from deploybench.stacks.creating import remove_stack

    for one in name:
        remove_stack(one)
        say(f"removed {one}")
