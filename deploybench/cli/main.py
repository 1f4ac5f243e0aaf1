"""The ``deploybench`` command.

Command modules import the core inside their functions, and are imported when they are called:
``--help`` must be quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from deploybench.cli.commands import COMMANDS, add_command, add_summary
from deploybench.cli.guard import heed_termination, run_to_the_end
from deploybench.cli.streams import prepare_streams
from deploybench.hardware.devices import BUS_ORDER
from deploybench.tracebacks import VARIABLE


def _print_tracebacks(asked: bool) -> None:
    if asked:
        os.environ[VARIABLE] = "1"


def _print_version(asked: bool) -> None:
    if asked:
        from deploybench import __version__

        typer.echo(__version__)
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    whole_traceback: Annotated[
        bool,
        typer.Option(
            "--traceback",
            callback=_print_tracebacks,
            is_eager=True,
            help="Print the whole traceback of a crash, and keep those of what plug-ins raise. "
            f"Also ${VARIABLE}=1.",
        ),
    ] = False,
) -> None:
    """Options of every command."""


def application(words: Sequence[str] | None = None) -> typer.Typer:
    """The command line; with ``words``, what was typed, only the commands among them are loaded.

    The others are known by their names and summaries.
    """
    app = typer.Typer(
        name="deploybench",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        help="Export a PyTorch vision model to every backend, verify each artifact, and measure "
        "it honestly.",
    )
    app.callback()(options)
    for command in COMMANDS:
        if words is None or command.name in words:
            add_command(app, command)
        else:
            add_summary(app, command)
    return app


def main() -> None:
    """Run the command line. In every process of it CUDA numbers the GPUs as NVML does."""
    os.environ.update(BUS_ORDER)
    prepare_streams()
    heed_termination()
    run_to_the_end(lambda: application(sys.argv[1:])())
